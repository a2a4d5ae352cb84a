import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from grader.evidence.exact import behaviour
from grader.evidence.sequential import Decision, SequentialTest

CANARY = SequentialTest(0.1, (0.2, 0.02))


@pytest.mark.parametrize(
    ("test", "truth", "p_fail", "expected", "quantiles"),
    [
        (CANARY, 0.1, 4.8e-7, 233, (200, 400, 750)),
        (CANARY, 0.2, 0.9996, 355, (325, 625, 1000)),
        (CANARY, 0.0, 1.0, 175, (175, 175, 175)),
        (SequentialTest(0.1, (0.2, 0.05)), 0.1, 5.2e-7, 427, (375, 775, 1500)),
        (SequentialTest(0.1, (0.2, 0.05)), 0.05, 0.9996, 899, (850, 1450, 2275)),
        (SequentialTest(0.5, (0.4, 0.6)), 0.5, 5.7e-7, 523, (475, 875, 1525)),
        (SequentialTest(0.5, (0.4, 0.6)), 0.4, 0.9997, 755, (725, 1250, 2025)),
    ],
)
def test_the_published_table(
    test: SequentialTest, truth: float, p_fail: float, expected: int, quantiles: tuple[int, ...]
) -> None:
    exact = behaviour(test, truth)
    assert exact.p_fail == pytest.approx(p_fail, rel=0.2 if p_fail < 0.5 else 2e-4)
    assert exact.expected == pytest.approx(expected, abs=0.6)
    assert tuple(exact.quantile(q) for q in (0.5, 0.95, 0.999)) == quantiles


def test_a_one_sided_test_would_pass_all_traffic_on_v1() -> None:
    assert behaviour(SequentialTest(0.1, (0.2,)), 0.0).p_pass == pytest.approx(1)
    assert behaviour(CANARY, 0.0).p_fail == pytest.approx(1)


@settings(max_examples=12)
@given(
    p0=st.sampled_from([0.05, 0.1, 0.2, 0.25, 0.5, 0.75, 0.9]),
    gap=st.sampled_from([0.5, 0.7, 0.9]),
    batch=st.sampled_from([10, 25, 40]),
)
def test_the_promised_error_rates_hold_exactly(p0: float, gap: float, batch: int) -> None:
    room = min(p0, 1 - p0) * gap
    test = SequentialTest(p0, (p0 - room, p0 + room), batch=batch)
    right = behaviour(test, p0)
    assert right.p_fail <= test.alpha
    assert right.p_fail + right.p_pass == pytest.approx(1)
    for wrong in test.alternatives:
        assert behaviour(test, wrong).p_pass <= test.beta
    for worse in (0.0, 1.0):
        assert behaviour(test, worse).p_pass <= test.beta


@given(st.integers(0, 1600).flatmap(lambda n: st.tuples(st.just(n), st.integers(0, n))))
def test_a_decision_is_one_interval_in_the_hits(state: tuple[int, int]) -> None:
    """Between two numbers of hits that pass, all pass: a share in the middle never does worse."""
    trials, hits = state
    if CANARY.decide(trials, hits) is Decision.FAIL and hits / max(trials, 1) > 0.1:
        assert CANARY.decide(trials + 1, hits + 1) is Decision.FAIL
    if trials >= CANARY.n_max:
        assert CANARY.decide(trials, hits) is not Decision.CONTINUE


@given(st.integers(0, 2**32), st.sampled_from([0.0, 0.1, 0.2, 0.9, 1.0]))
def test_replay_stops_where_the_live_run_stopped(seed: int, truth: float) -> None:
    rng = random.Random(seed)
    record = [rng.random() < truth for _ in range(CANARY.n_max)]
    whole = CANARY.replay(record)
    assert whole.decision is not Decision.CONTINUE
    assert CANARY.replay(record[: whole.trials]) == whole
    if whole.trials > CANARY.batch:
        short = CANARY.replay(record[: whole.trials - 1])
        assert short.decision is Decision.CONTINUE


def test_summary_prints_the_error_rates() -> None:
    assert CANARY.summary == "10% against 2% and 20%, false fail <= 1e-6, miss <= 1e-3"
    assert CANARY.n_max == 1575
