"""Late policy, attempts, best of: pure arithmetic."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from grader.course.policy import KEEPS, Attempt, Policy, decide

DUE = datetime(2026, 11, 2, 23, 59, tzinfo=UTC)
RULE = Policy(grace_minutes=10, per_day=10, max_days=3)


def handed_in(points: float | None, hours: float, name: str = "a") -> Attempt:
    return Attempt(name, points, 10.0, DUE + timedelta(hours=hours))


def mark(
    *attempts: Attempt, policy: Policy = RULE, extended: datetime | None = None
) -> float | None:
    found = decide(attempts, policy, DUE, extended)
    assert found is not None
    return found.points


def test_in_time_and_in_grace_costs_nothing() -> None:
    assert mark(handed_in(8, -1)) == 8
    assert mark(handed_in(8, 10 / 60)) == 8


def test_each_begun_day_costs_a_part_of_the_full_points() -> None:
    assert mark(handed_in(8, 1)) == 7
    assert mark(handed_in(8, 25)) == 6
    assert mark(handed_in(0.5, 25)) == 0
    late = decide([handed_in(8, 25)], RULE, DUE)
    assert late is not None
    assert (late.days, late.penalty, late.why) == (2, 2, "2 days late: 2 points off")


def test_after_the_last_day_nothing_counts() -> None:
    found = decide([handed_in(8, 100)], RULE, DUE)
    assert found is not None
    assert (found.points, found.why) == (0, "5 days late, accepted are 3")


def test_an_extension_moves_the_date() -> None:
    assert mark(handed_in(8, 100), extended=DUE + timedelta(days=5)) == 8


def test_best_of_looks_at_the_mark_not_at_the_points() -> None:
    assert mark(handed_in(7, -5, "a"), handed_in(8, 30, "b")) == 7
    for keep, points in {"first": 5, "last": 3, "best": 7, "average": 5}.items():
        rule = Policy(keep=keep)  # type: ignore[arg-type]
        attempts = (handed_in(3, 3, "c"), handed_in(5, 1, "a"), handed_in(7, 2, "b"))
        assert mark(*attempts, policy=rule) == points


def test_attempts_beyond_the_allowed_ones_do_not_count() -> None:
    found = decide([handed_in(5, 1, "a"), handed_in(9, 2, "b")], Policy(attempts=1), DUE)
    assert found is not None
    assert (found.points, found.attempt) == (5, "a")
    assert "1 attempts beyond the 1 that count" in found.why


def test_an_ungradable_attempt_takes_nobodys_place() -> None:
    assert mark(handed_in(6, -2), handed_in(None, -1), policy=Policy(keep="last")) == 6
    assert mark(handed_in(None, -1)) is None


def test_late_without_a_time_is_one_day_and_says_so() -> None:
    found = decide([Attempt("a", 8, 10, None, True)], RULE, DUE)
    assert found is not None
    assert found.points == 7
    assert "how late is not known" in found.why


def test_no_attempt_is_no_mark() -> None:
    assert decide([], RULE, DUE) is None


points = st.one_of(st.none(), st.floats(0, 10))
attempts = st.lists(
    st.builds(handed_in, points, st.floats(-100, 200))
    | st.builds(
        Attempt,
        st.just("x"),
        points,
        st.just(10.0),
        st.none(),
        st.sampled_from([None, False, True]),
    ),
    min_size=1,
)
policies = st.builds(
    Policy,
    grace_minutes=st.integers(0, 1000),
    per_day=st.floats(0, 120),
    max_days=st.none() | st.integers(0, 5),
    attempts=st.integers(0, 4),
    keep=st.sampled_from(KEEPS),
)


@given(attempts, policies)
def test_a_mark_lies_between_nothing_and_the_best_attempt(
    held: list[Attempt], rule: Policy
) -> None:
    found = decide(held, rule, DUE)
    assert found is not None
    best = max((a.points for a in held if a.points is not None), default=None)
    if found.points is not None:
        assert best is not None
        assert -1e-9 <= found.points <= best + 1e-9


@given(attempts, policies, st.randoms())
def test_the_order_of_handing_over_does_not_matter(held: list[Attempt], rule: Policy, rng) -> None:
    timed = [a for a in held if a.submitted is not None]
    times = {a.submitted for a in timed}
    if timed and len(times) == len(timed):
        mixed = list(timed)
        rng.shuffle(mixed)
        assert decide(timed, rule, DUE) == decide(mixed, rule, DUE)


@given(st.floats(0, 10), st.floats(-50, 150), st.floats(0, 50), policies)
def test_later_is_never_better(score: float, hours: float, more: float, rule: Policy) -> None:
    early, late = (
        mark(handed_in(score, hours), policy=rule),
        mark(handed_in(score, hours + more), policy=rule),
    )
    assert early is not None
    assert late is not None
    assert late <= early + 1e-9
