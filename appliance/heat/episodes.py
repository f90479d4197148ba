"""Throttling as episodes: from when to when, why, how hot, and what it cost in frames a second."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Collection

    from appliance.telemetry import Cause

NS_PER_SECOND = 1_000_000_000
REMEMBERED_WINDOWS = 3
"""Windows before an episode that its costs are held against."""
REMEMBERED_EPISODES = 20


@dataclass(frozen=True, slots=True)
class Rate:
    """How fast the unit was over some time; None where nothing ran.

    Attributes:
        fps: end-to-end frames a second of all cameras.
        inference_ms: median inference.
    """

    fps: float | None = None
    inference_ms: float | None = None


@dataclass(frozen=True, slots=True)
class Episode:
    """One cause, from when it came to when it went.

    Attributes:
        cause: why the platform slowed.
        began_ns, ended_ns: monotonic; ended_ns is None while it lasts.
        peak_celsius: hottest reading meanwhile.
        before, during, after: pace in the windows before it began, while it lasted, and in the
            first whole window after it ended.
    """

    cause: Cause
    began_ns: int
    ended_ns: int | None = None
    peak_celsius: float | None = None
    before: Rate = Rate()
    during: Rate = Rate()
    after: Rate = Rate()

    @property
    def seconds(self) -> float | None:
        """Return how long it lasted; None while it lasts."""
        return None if self.ended_ns is None else (self.ended_ns - self.began_ns) / NS_PER_SECOND


@dataclass(frozen=True, slots=True)
class Transition:
    """An episode began or ended."""

    kind: Literal["began", "ended"]
    episode: Episode


@dataclass(slots=True)
class _Running:
    episode: Episode
    windows: list[Rate] = field(default_factory=list)


class EpisodeTracker:
    """Turns polls of causes into episodes and counters. One thread at a time.

    Each live cause begins and ends once; what the platform only remembers (sticky flags) is none.
    """

    def __init__(self) -> None:
        self._active: dict[Cause, _Running] = {}
        self._recent: deque[Episode] = deque(maxlen=REMEMBERED_EPISODES)
        self._calm: deque[Rate] = deque(maxlen=REMEMBERED_WINDOWS)
        self._last_ns: int | None = None
        self._settling = False
        self.seconds_total: dict[Cause, float] = {}
        self.episodes_total: dict[Cause, int] = {}

    @property
    def active(self) -> tuple[Cause, ...]:
        return tuple(self._active)

    @property
    def recent(self) -> tuple[Episode, ...]:
        """Return the last episodes that ended, oldest first."""
        return tuple(self._recent)

    def poll(
        self, now_ns: int, causes: Collection[Cause] | None, celsius: float | None
    ) -> list[Transition]:
        """Take what the platform says now; return what began and ended.

        Args:
            now_ns: monotonic.
            causes: in force now; None where nothing could be read: nothing changes then.
            celsius: the processor's temperature.
        """
        elapsed = 0.0 if self._last_ns is None else (now_ns - self._last_ns) / NS_PER_SECOND
        self._last_ns = now_ns
        for cause, running in self._active.items():
            self.seconds_total[cause] = self.seconds_total.get(cause, 0.0) + elapsed
            running.episode = _hotter(running.episode, celsius)
        if causes is None:
            return []
        ended = [self._end(cause, now_ns) for cause in list(self._active) if cause not in causes]
        began = [self._begin(c, now_ns, celsius) for c in causes if c not in self._active]
        return ended + began

    def window(self, pace: Rate) -> None:
        """Take the pace of a window that just ended."""
        for running in self._active.values():
            running.windows.append(pace)
        if self._active:
            return
        if self._settling:  # this window began while the last episode still lasted
            self._settling = False
            return
        for _ in range(len(self._recent)):
            one = self._recent.popleft()
            self._recent.append(one if one.after.fps is not None else replace(one, after=pace))
        self._calm.append(pace)

    def _begin(self, cause: Cause, now_ns: int, celsius: float | None) -> Transition:
        before = mean_rate(tuple(self._calm))
        episode = Episode(cause, now_ns, peak_celsius=celsius, before=before)
        self._active[cause] = _Running(episode)
        self.seconds_total.setdefault(cause, 0.0)
        self.episodes_total[cause] = self.episodes_total.get(cause, 0) + 1
        return Transition("began", episode)

    def _end(self, cause: Cause, now_ns: int) -> Transition:
        running = self._active.pop(cause)
        during = mean_rate(tuple(running.windows))
        episode = replace(running.episode, ended_ns=now_ns, during=during)
        self._recent.append(episode)
        self._settling = True
        return Transition("ended", episode)


def mean_rate(windows: tuple[Rate, ...]) -> Rate:
    """Return the mean over windows, those in which nothing ran left out."""
    rates = [one.fps for one in windows if one.fps is not None]
    times = [one.inference_ms for one in windows if one.inference_ms is not None]
    return Rate(
        sum(rates) / len(rates) if rates else None, sum(times) / len(times) if times else None
    )


def describe(episode: Episode) -> str:
    """Return one line for a person, e.g. throttled 4 min 12 s (...), 11.8 -> 7.1 FPS."""
    words = f"({episode.cause.replace('_', ' ')})"
    if episode.seconds is None:
        text = f"throttled {words}"
    else:
        minutes, seconds = divmod(round(episode.seconds), 60)
        text = f"throttled {f'{minutes} min ' if minutes else ''}{seconds} s {words}"
    if episode.peak_celsius is not None:
        text += f", up to {episode.peak_celsius:.1f} °C"
    if episode.before.fps is not None and episode.during.fps is not None:
        text += f", {episode.before.fps:.1f} \N{RIGHTWARDS ARROW} {episode.during.fps:.1f} FPS"
    return text


def _hotter(episode: Episode, celsius: float | None) -> Episode:
    if celsius is None:
        return episode
    peak = celsius if episode.peak_celsius is None else max(celsius, episode.peak_celsius)
    return replace(episode, peak_celsius=peak)
