"""Heat in the daemon: feeds ``appliance.heat.watch``, sets the pace, publishes what happens."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from appliance.clock import NS_PER_SECOND
from appliance.heat import Action
from appliance.heat.episodes import describe
from appliance.heat.watch import HeatPolicy, HeatState, Work
from appliance.reports.messages import EpisodeInfo, GovernorInfo, PaceInfo, ThrottlingInfo
from appliance.reports.problems import Problem

if TYPE_CHECKING:
    from collections.abc import Iterable

    from appliance.config.settings import GovernorSettings
    from appliance.heat.episodes import Episode, Rate
    from appliance.pipeline import Window
    from appliance.pipeline.pace import Pace
    from appliance.reports.reporter import Reporter
    from appliance.telemetry import Cause, Snapshot

log = logging.getLogger(__name__)

ADVISE_SECONDS = 600.0
"""How often the same advice is given while nobody follows it."""
SPARE = 1.1
"""One worker is enough for the floor if it could do a tenth more."""


class HeatWatch:
    """Main thread only.

    Args:
        settings: of the governor.
        pace: of the pipeline, which the governor sets.
        reporter: publishes alerts.
    """

    def __init__(self, settings: GovernorSettings, pace: Pace, reporter: Reporter) -> None:
        self._state = HeatState(_policy(settings))
        self._pace = pace
        self._reporter = reporter
        self._per_worker_fps = 0.0
        self._advised_ns: int | None = None
        self._last: Action | None = None
        self._fps_after: float | None = None
        self._windows_since_action = 0

    def use(self, settings: GovernorSettings) -> None:
        """Go on with these settings: what is known of the heat outlives a reload."""
        policy = _policy(settings)
        if policy != self._state.policy:
            self._state.use(policy)
            self._pace.target_fps, self._pace.single_worker = None, False

    @property
    def active(self) -> tuple[Cause, ...]:
        return self._state.episodes.active

    @property
    def throttled(self) -> bool | None:
        """Return whether the platform says that it is slowed; None where nothing would say so."""
        return self._state.throttled

    @property
    def snapshot(self) -> Snapshot:
        """Return the last reading, with what its flags said since the daemon began."""
        return self._state.snapshot

    def window(
        self,
        windows: Iterable[Window],
        accelerator: str,
        model: str,
        workers: int,
        *,
        contended: bool = False,
    ) -> None:
        """Take the windows of all cameras that just ended, and what ran in them.

        Args:
            windows: one a camera.
            accelerator: that ran.
            model: that it ran.
            workers: how many ran it.
            contended: other programs took much of the processor meanwhile.
        """
        rows = list(windows)
        alone = [fps for one in rows if (fps := one.inference_only_fps(workers))]
        self._per_worker_fps = max(alone, default=0.0) / workers
        at_work = 1 if self._pace.single_worker else workers
        rates = [
            one.end_to_end_fps + one.gated_fps  # what the gate left out was kept up with
            for one in rows
            if one.end_to_end_fps is not None
        ]
        medians = [one.stages["inference"].p50 for one in rows if "inference" in one.stages]
        fps = sum(rates) if rates else None
        self._state.window(
            Work(
                fps=fps,
                inference_ms=max(medians, default=None),
                subject=f"{accelerator} {model} {at_work}",
                is_unseen=accelerator != "cpu",
                contended=contended,
            )
        )
        self._windows_since_action += 1
        # The first window held the change itself.
        if self._last is not None and self._windows_since_action == 2:
            self._fps_after = fps

    def poll(self, now_ns: int, snapshot: Snapshot) -> None:
        """Take a reading: publish what began and ended, do what the governor decides."""
        for event in self._state.poll(now_ns, snapshot):
            if not isinstance(event, Action):
                self._tell(event.kind, event.episode)
            elif self._state.policy.mode == "act":
                self._act(event)
            else:
                self._advise(event, now_ns)

    def problems(self) -> tuple[Problem, ...]:
        """Return why what the governor does leaves the unit less than ok."""
        governor = self._state.governor
        if governor is None or governor.mode == "full" or self._state.policy.mode != "act":
            return ()
        found = []
        if governor.mode == "paused" and self._last is not None:
            found.append(Problem("governor", "", f"governor: paused, {self._last.reason}"))
        if self._state.celsius is None:
            text = f"temperature: not told any more, the governor holds the rate ({governor.mode})"
            found.append(Problem("temperature", "", text))
        return tuple(found)

    def throttling(self, now_ns: int) -> ThrottlingInfo:
        """Return the episodes for the health message."""
        tracker = self._state.episodes
        return ThrottlingInfo(
            active=tracker.active,
            seconds_total={c: round(s, 3) for c, s in tracker.seconds_total.items()},
            episodes_total={c: n for c, n in tracker.episodes_total.items()},  # noqa: C416 - keys are widened
            recent=tuple(_info(one, now_ns) for one in tracker.recent[-3:]),
        )

    def governor(self) -> GovernorInfo:
        """Return the governor's state for the health message."""
        state, last = self._state, self._last
        governor = state.governor
        return GovernorInfo(
            state=state.policy.mode,
            mode=governor.mode if governor else "full",
            target_fps=governor.target_fps if governor else None,
            min_fps=state.policy.min_fps,
            soft_limit_celsius=state.soft_celsius,
            reason=last.reason if last else "",
            fps_before=_round(last.fps_before) if last else None,
            fps_after=_round(self._fps_after),
        )

    def _act(self, action: Action) -> None:
        self._last, self._fps_after, self._windows_since_action = action, None, 0
        log.info("governor: %s, %s", action.mode, action.reason)
        floor = self._state.policy.min_fps * SPARE
        self._pace.target_fps = action.target_fps
        self._pace.single_worker = action.single_worker and self._per_worker_fps >= floor
        self._publish(action, advised=False)

    def _advise(self, action: Action, now_ns: int) -> None:
        since = None if self._advised_ns is None else (now_ns - self._advised_ns) / NS_PER_SECOND
        if since is not None and since < ADVISE_SECONDS:
            return
        self._advised_ns = now_ns
        log.info("governor would: %s, %s", action.mode, action.reason)
        self._publish(action, advised=True)

    def _publish(self, action: Action, *, advised: bool) -> None:
        self._reporter.alert(
            "governor",
            mode=action.mode,
            target_fps=action.target_fps,
            fps_before=_round(action.fps_before),
            reason=action.reason,
            advised=advised,
        )

    def _tell(self, kind: str, episode: Episode) -> None:
        text = describe(episode)
        log.warning("%s: %s", kind, text)
        self._reporter.alert(
            f"throttling_{kind}",
            cause=episode.cause,
            reason=text,
            duration_seconds=episode.seconds,
            temperature_celsius=episode.peak_celsius,
            fps_before=_round(episode.before.fps),
            fps_during=_round(episode.during.fps),
        )


def _policy(settings: GovernorSettings) -> HeatPolicy:
    return HeatPolicy(settings.mode, settings.min_fps, settings.soft_limit_celsius)


def _info(episode: Episode, now_ns: int) -> EpisodeInfo:
    return EpisodeInfo(
        cause=episode.cause,
        seconds=round(episode.seconds or 0.0, 3),
        ended_seconds_ago=round((now_ns - (episode.ended_ns or now_ns)) / NS_PER_SECOND, 1),
        peak_celsius=episode.peak_celsius,
        before=_pace(episode.before),
        during=_pace(episode.during),
        after=_pace(episode.after),
    )


def _pace(pace: Rate) -> PaceInfo:
    return PaceInfo(fps=_round(pace.fps), inference_ms=_round(pace.inference_ms))


def _round(value: float | None) -> float | None:
    return None if value is None else round(value, 3)
