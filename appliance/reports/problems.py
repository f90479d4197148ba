"""What is wrong with the unit: each problem a value, told once when it begins and when it ends."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from appliance.clock import NS_PER_SECOND

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

SETTLED_SECONDS = 5.0
"""A problem that stays away for so long has ended; one that flickers is told once."""

ProblemKind = Literal[
    "camera",
    "no_results",
    "failing",
    "frozen",
    "hung",
    "sink_failing",
    "sink_stalled",
    "outbox",
    "accelerator",
    "throttled",
    "governor",
    "temperature",
    "broker",
    "refused",
    "twin",
    "notice",
]
TOLD_HERE: frozenset[ProblemKind] = frozenset(
    {
        "no_results",
        "failing",
        "frozen",
        "hung",
        "sink_failing",
        "sink_stalled",
        "outbox",
        "refused",
        "twin",
        "temperature",
    }
)
"""Those that nobody else sends an alert for."""


OF_CAMERAS: frozenset[ProblemKind] = frozenset({"no_results", "failing", "frozen"})
"""Those whose subject is a camera."""


@dataclass(frozen=True, slots=True)
class Problem:
    """A reason why the unit is not ok.

    Attributes:
        kind: of problem.
        subject: the camera, thread or sink that has it; empty for the unit.
        text: in words, for health.
    """

    kind: ProblemKind
    subject: str
    text: str

    @property
    def key(self) -> tuple[ProblemKind, str]:
        """Return what makes it the same problem as another, whatever the words."""
        return self.kind, self.subject


@dataclass(frozen=True, slots=True)
class Change:
    """A problem began or ended.

    Attributes:
        problem: as it was told last.
        seconds: how long it lasted; None for one that begins.
    """

    problem: Problem
    seconds: float | None = None


@dataclass(slots=True)
class _Entry:
    problem: Problem
    began_ns: int
    seen_ns: int


class ProblemBook:
    """Tells each problem of ``TOLD_HERE`` once: when it begins and when it is over.

    A thread that hangs is not told where its camera's missing results were: it is one fault.

    Args:
        tell: takes each change.
    """

    def __init__(self, tell: Callable[[Change], None]) -> None:
        self._tell = tell
        self._open: dict[tuple[ProblemKind, str], _Entry] = {}

    def look(self, problems: Iterable[Problem], now_ns: int) -> None:
        """Take what is wrong at ``now_ns``."""
        for problem in problems:
            if problem.kind in TOLD_HERE:
                self._note(problem, now_ns)
        over_ns = now_ns - round(SETTLED_SECONDS * NS_PER_SECOND)
        for key, entry in [(k, e) for k, e in self._open.items() if e.seen_ns <= over_ns]:
            del self._open[key]
            seconds = (entry.seen_ns - entry.began_ns) / NS_PER_SECOND
            self._tell(Change(entry.problem, round(seconds, 3)))

    def _note(self, problem: Problem, now_ns: int) -> None:
        known = self._open.get(problem.key)
        if known is not None:
            known.problem, known.seen_ns = problem, now_ns
            return
        if problem.kind == "hung" and any(kind == "no_results" for kind, _ in self._open):
            return
        self._open[problem.key] = _Entry(problem, now_ns, now_ns)
        self._tell(Change(problem))
