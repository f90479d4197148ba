"""One camera's scene: from what each frame shows to objects, events, counts and totals."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from appliance.objects.followed import Followed, Layout
from appliance.objects.geometry import Segment
from appliance.objects.ids import new_id
from appliance.objects.tracker import Tracker
from appliance.values.happened import NOTHING, Happened, ObjectState, Place

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from datetime import datetime

    import numpy as np
    from numpy.typing import NDArray

    from appliance.config import CameraSettings
    from appliance.objects.tally import Tally
    from appliance.objects.tracker import Track
    from appliance.values import Detections, Observation
    from appliance.values.happened import Counts, Ending, ObjectEvent

UNWATCHED_SECONDS = 30.0
"""Nobody looked for so long: what was there then is no longer known to be."""
EVERYWHERE = ""


class Scene:
    """One camera's objects. Not thread-safe.

    Args:
        camera: its settings.
        labels: names of what is looked for; empty where anything is.
        name: of a label id.
        tally: of the camera; outlives the scene.
        now: the wall time, for names of events.
    """

    def __init__(
        self,
        camera: CameraSettings,
        labels: tuple[str, ...],
        name: Callable[[int], str],
        tally: Tally,
        now: Callable[[], datetime],
    ) -> None:
        self._camera = camera
        self._labels = labels
        self._name = name
        self._tally = tally
        self._now = now
        self._unwatched_ns = round(
            max(UNWATCHED_SECONDS, 3 * camera.motion.keepalive_seconds * camera.motion.gate) * 1e9
        )
        self._hold_ns = round(camera.objects.occupancy_seconds * 1e9)
        self._places = (EVERYWHERE, *(zone.name for zone in camera.zone))
        self._tracker = self._new_tracker()
        self._followed: dict[int, Followed] = {}
        self._layout: Layout | None = None
        self._looked_ns: int | None = None
        self._known: tuple[bool, int, frozenset[tuple[object, ...]]] | None = None
        self._state: ObjectState | None = None
        self._held_until_ns: dict[tuple[str, str], int] = {}
        self._begun = False

    def use_labels(self, labels: tuple[str, ...]) -> None:
        """Look for others from now on; those that are there and no longer seen leave in time."""
        self._labels = labels
        self._begun = False
        self.again()

    def look(self, seen: Observation, found: Detections, sure: NDArray[np.bool_]) -> Happened:
        """Take what a frame shows.

        Args:
            seen: the frame.
            found: what may be an object of it.
            sure: which of them may begin one; the others only go on with one.
        """
        now_ns = seen.times.captured_ns
        aspect = seen.width / seen.height
        if self._layout is None or self._layout.aspect != aspect:
            self._layout = self._lay_out(aspect)
        if self._looked_ns is not None and now_ns < self._looked_ns:
            now_ns = self._looked_ns  # a camera that came back may tell another clock
        self._looked_ns = now_ns
        tracks = self._tracker.step(found, sure, aspect=aspect, now_ns=now_ns)
        events = tuple(self._follow(tracks, self._layout, now_ns))
        happened = self._happened(events, now_ns)
        better = frozenset(one.id for one in self._followed.values() if one.improved)
        return replace(happened, better=better) if better else happened

    def tick(self, now_ns: int) -> Happened:
        """Let time pass without a look; called now and then."""
        if self._looked_ns is not None and now_ns - self._looked_ns > self._unwatched_ns:
            return self.end("unwatched", now_ns)
        return self._happened((), now_ns)

    def again(self) -> None:
        """Tell the state once more: who listens may have forgotten it."""
        self._known = self._state = None

    def end(self, ending: Ending, now_ns: int) -> Happened:
        """End every object that there is: nobody looks any more."""
        self._tracker = self._new_tracker()
        self._looked_ns = None
        self._held_until_ns.clear()
        return self._happened(tuple(self._end(tuple(self._followed), ending)), now_ns)

    def _new_tracker(self) -> Tracker:
        return Tracker(self._camera.objects.memory_seconds)

    def _lay_out(self, aspect: float) -> Layout:
        def high(point: tuple[float, float]) -> tuple[float, float]:
            return point[0] * aspect, point[1]

        lines = tuple((one, Segment(high(one.start), high(one.end))) for one in self._camera.line)
        return Layout(self._camera.zone, lines, aspect)

    def _follow(self, tracks: list[Track], layout: Layout, now_ns: int) -> Iterable[ObjectEvent]:
        there = {track.number for track in tracks}
        yield from self._end([one for one in self._followed if one not in there], "left")
        for track in tracks:
            label = self._name(track.label_id)
            one = self._followed.get(track.number)
            if one is None:
                one = Followed(new_id(self._now()), track, label, layout, self._tally)
                self._followed[track.number] = one
                yield one.event("new")
                one.told(now_ns)
                continue
            one.look(track, label, layout)
            if one.due(now_ns):
                yield one.event("update")
                one.told(now_ns)

    def _end(self, numbers: Iterable[int], ending: Ending) -> Iterable[ObjectEvent]:
        for number in numbers:
            one = self._followed.pop(number)
            one.end()
            yield one.event("end", ending)

    def _happened(self, events: tuple[ObjectEvent, ...], now_ns: int) -> Happened:
        if not self._begun:  # here, for the scene before this one may still count until now
            lines = (one.name for one in self._camera.line)
            self._tally.begin(self._labels, self._places[1:], lines)
            self._begun = True
        objects = frozenset(one.state for one in self._followed.values())
        known = self._looked_ns is not None, self._tally.changes, objects
        over = [key for key, until_ns in self._held_until_ns.items() if until_ns <= now_ns]
        if known == self._known and not over:
            return Happened(events) if events else NOTHING
        changed = self._known is None or known[2] != self._known[2]
        self._known = known
        for key in over:
            del self._held_until_ns[key]
        state = self._take_stock(now_ns)
        is_news = state != self._state
        self._state = state
        return Happened(events, state if is_news else None, changed)

    def _take_stock(self, now_ns: int) -> ObjectState:
        """Count what is where; what just left a place holds it for a while."""
        is_watched = self._looked_ns is not None
        before = self._state
        counts: dict[str, Counts] = {one: dict.fromkeys(self._labels, 0) for one in self._places}
        still: dict[str, Counts] = {one: dict.fromkeys(self._labels, 0) for one in self._places}
        for one in self._followed.values():
            for place in (EVERYWHERE, *one.zones):
                counts[place][one.label] = counts[place].get(one.label, 0) + 1
                if one.track.stationary:
                    still[place][one.label] = still[place].get(one.label, 0) + 1
        if before is not None and before.watched and is_watched:
            for place in self._places:
                was = before.everywhere if place == EVERYWHERE else before.zones[place]
                for label, number in was.counts.items():
                    if number and not counts[place].get(label) and self._hold_ns:
                        self._held_until_ns[place, label] = now_ns + self._hold_ns
        made = {}
        for place in self._places:
            held = {label for where, label in self._held_until_ns if where == place}
            labels = sorted({*counts[place], *self._labels, *held})
            made[place] = Place(
                counts[place],
                still[place],
                {label: bool(counts[place].get(label)) or label in held for label in labels},
            )
        everywhere = made.pop(EVERYWHERE)
        return ObjectState(is_watched, everywhere, made, self._tally.totals())
