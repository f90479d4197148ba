"""Each problem is told once when it begins and once when it is over."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from appliance.clock import NS_PER_SECOND
from appliance.reports.problems import SETTLED_SECONDS, Change, Problem, ProblemBook


def problem(kind: str = "no_results", subject: str = "door", text: str = "text") -> Problem:
    return Problem(kind, subject, text)  # type: ignore[arg-type]


def told(*looks: tuple[float, tuple[Problem, ...]]) -> list[Change]:
    changes: list[Change] = []
    book = ProblemBook(changes.append)
    for seconds, problems in looks:
        book.look(problems, round(seconds * NS_PER_SECOND))
    return changes


def test_told_when_it_begins_and_when_it_stayed_away() -> None:
    one, later = problem(text="for 3 s"), problem(text="for 9 s")
    changes = told((1, (one,)), (4, (later,)), (8, ()), (9.1, ()), (20, ()))
    assert changes == [Change(one), Change(later, 3.0)]


def test_a_flicker_is_one_problem() -> None:
    one = problem()
    looks = [(0.5 * n, (one,) if n % 4 == 0 else ()) for n in range(200)]
    assert told(*looks) == [Change(one)]


def test_others_tell_their_own() -> None:
    kinds = ("camera", "accelerator", "throttled", "governor", "broker", "notice")
    assert told((1, tuple(problem(kind) for kind in kinds))) == []


def test_a_hang_is_not_told_beside_the_results_it_costs() -> None:
    hung, missing = problem("hung", "worker 0"), problem()
    assert told((1, (missing,)), (9, (missing, hung))) == [Change(missing)]
    assert told((1, (hung,))) == [Change(hung)]


@given(
    st.lists(st.tuples(st.floats(0.1, 30), st.sets(st.sampled_from(["a", "b", "c"]))), max_size=40)
)
def test_every_end_has_its_beginning_and_nothing_begins_twice(
    looks: list[tuple[float, set[str]]],
) -> None:
    now, timed = 0.0, []
    for step, subjects in looks:
        now += step
        timed.append((now, tuple(problem(subject=name) for name in sorted(subjects))))
    timed.append((now + SETTLED_SECONDS, ()))
    active: set[str] = set()
    for change in told(*timed):
        if change.seconds is None:
            assert change.problem.subject not in active
            active.add(change.problem.subject)
        else:
            active.remove(change.problem.subject)
    assert not active
