"""Watches heat: feeds episodes and governor, applies what it decides, publishes both."""

from __future__ import annotations

import logging
import math
from typing import TYPE_CHECKING

from appliance.clock import NS_PER_SECOND
from appliance.heat import EpisodeTracker, Governor, GovernorPolicy
from appliance.heat.drift import DriftDetector
from appliance.heat.episodes import Episode, Rate, describe
from appliance.reports.messages import EpisodeInfo, GovernorInfo, PaceInfo, ThrottlingInfo
from appliance.reports.problems import Problem

if TYPE_CHECKING:
    from collections.abc import Iterable

    from appliance.config.settings import GovernorSettings
    from appliance.heat import Action
    from appliance.pipeline.pace import Pace
    from appliance.reports.messages import MetricsMessage
    from appliance.reports.reporter import Reporter
    from appliance.telemetry import Snapshot
    from appliance.telemetry.readings import Cause, Thermal

log = logging.getLogger(__name__)

ADVISE_SECONDS = 600.0
"""How often the same advice is given while nobody follows it."""
SPARE = 1.1
"""One worker is enough for the floor if it could do a tenth more."""


class HeatWatch:
    """See the module's description. Main thread only.

    Args:
        settings: of the governor.
        pace: of the pipeline, which the governor sets.
        reporter: publishes alerts.
    """

    def __init__(self, settings: GovernorSettings, pace: Pace, reporter: Reporter) -> None:
        self._settings = settings
        self._pace = pace
        self._reporter = reporter
        self._episodes = EpisodeTracker()
        self._drift = DriftDetector()
        self._governor: Governor | None = None
        self._soft: float | None = None
        self._celsius: float | None = None
        self._fps: float | None = None
        self._per_worker_fps = 0.0
        self._tells_nothing = True
        self._advised_ns: int | None = None
        self._last: Action | None = None
        self._fps_after: float | None = None
        self._windows_since_action = 0

    def use(self, settings: GovernorSettings) -> None:
        """Go on with these settings: what is known of the heat outlives a reload."""
        if settings != self._settings:
            self._governor = None
            self._pace.target_fps, self._pace.single_worker = None, False
        self._settings = settings

    @property
    def active(self) -> tuple[Cause, ...]:
        """Return the causes in force."""
        return self._episodes.active

    def window(
        self,
        metrics: Iterable[MetricsMessage],
        accelerator: str,
        model: str,
        workers: int,
        *,
        contended: bool = False,
    ) -> None:
        """Take the windows of all cameras that just ended, and what ran in them.

        Args:
            metrics: one a camera.
            accelerator: that ran.
            model: that it ran.
            workers: how many ran it.
            contended: other programs took much of the processor meanwhile.
        """
        rows = list(metrics)
        alone = [one.inference_only_fps for one in rows if one.inference_only_fps]
        self._per_worker_fps = max(alone, default=0.0) / workers
        at_work = 1 if self._pace.single_worker else workers
        subject = f"{accelerator} {model} {at_work}"
        self._tells_nothing = accelerator != "cpu"
        rates = [
            one.end_to_end_fps + (one.gated_fps or 0.0)  # what the gate left out was kept up with
            for one in rows
            if one.end_to_end_fps is not None
        ]
        medians = [one.stages_ms["inference"].p50 for one in rows if "inference" in one.stages_ms]
        self._fps = sum(rates) if rates else None
        inference_ms = max(medians) if medians else None
        self._episodes.window(Rate(self._fps, inference_ms))
        self._drift.window(subject, None if contended else inference_ms)
        self._windows_since_action += 1
        # The first window held the change itself.
        if self._last is not None and self._windows_since_action == 2:
            self._fps_after = self._fps

    def poll(self, now_ns: int, snapshot: Snapshot) -> None:
        """Take a reading: publish what began and ended, let the governor decide."""
        thermal, causes = snapshot.thermal, snapshot.causes
        celsius = self._celsius = thermal.temperature_celsius if thermal else None
        for transition in self._episodes.poll(now_ns, self._all_causes(causes), celsius):
            self._tell(transition.kind, transition.episode)
        if self._settings.mode == "off":
            return
        governor = self._make_governor(thermal)
        action = governor.poll(now_ns, celsius, self._fps) if governor else None
        if action is None or governor is None:
            return
        if self._settings.mode == "act":
            self._act(action)
        else:
            governor.withdraw()
            self._advise(action, now_ns)

    def _all_causes(self, told: tuple[Cause, ...] | None) -> tuple[Cause, ...] | None:
        """Return what the platform tells with what is inferred of what tells nothing."""
        may_infer = told is None or self._tells_nothing
        inferred: tuple[Cause, ...] = ("inferred",) if self._drift.inferred and may_infer else ()
        if told is None:
            if not inferred and "inferred" not in self._episodes.active:
                return None
            told = tuple(cause for cause in self._episodes.active if cause != "inferred")
        return (*told, *inferred)

    def problems(self) -> tuple[Problem, ...]:
        """Return why what the governor does leaves the unit less than ok."""
        governor = self._governor
        if governor is None or governor.mode == "full" or self._settings.mode != "act":
            return ()
        found = []
        if governor.mode == "paused" and self._last is not None:
            found.append(Problem("governor", "", f"governor: paused, {self._last.reason}"))
        if self._celsius is None:
            text = f"temperature: not told any more, the governor holds the rate ({governor.mode})"
            found.append(Problem("temperature", "", text))
        return tuple(found)

    def throttling(self, now_ns: int) -> ThrottlingInfo:
        """Return the episodes for the health message."""
        tracker = self._episodes
        return ThrottlingInfo(
            active=tracker.active,
            seconds_total={c: round(s, 3) for c, s in tracker.seconds_total.items()},
            episodes_total={c: n for c, n in tracker.episodes_total.items()},  # noqa: C416 - keys are widened
            recent=tuple(_info(one, now_ns) for one in tracker.recent[-3:]),
        )

    def governor(self) -> GovernorInfo:
        """Return the governor's state for the health message."""
        governor, last = self._governor, self._last
        return GovernorInfo(
            state=self._settings.mode,
            mode=governor.mode if governor else "full",
            target_fps=governor.target_fps if governor else None,
            min_fps=self._settings.min_fps,
            soft_limit_celsius=self._soft,
            reason=last.reason if last else "",
            fps_before=last.fps_before if last else None,
            fps_after=self._fps_after,
        )

    def _make_governor(self, thermal: Thermal | None) -> Governor | None:
        """Return the governor; None while it is not known where the board is slowed."""
        if self._governor is None and thermal is not None:
            limits = thermal.limits_celsius
            soft = self._settings.soft_limit_celsius or limits.get("soft")
            if soft is None:
                return None
            self._soft = soft
            hard = max(limits.get("hard", math.inf), soft)  # never pause on a guess
            self._governor = Governor(GovernorPolicy(self._settings.min_fps, soft, hard))
        return self._governor

    def _act(self, action: Action) -> None:
        self._last, self._fps_after, self._windows_since_action = action, None, 0
        log.info("governor: %s, %s", action.mode, action.reason)
        floor = self._settings.min_fps * SPARE
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
            fps_before=action.fps_before,
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
