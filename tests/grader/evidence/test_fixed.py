import pytest
from scipy.stats import binom

from grader.evidence.fixed import design, evaluate


@pytest.mark.parametrize(
    ("p0", "p1", "n", "low", "high"),
    [
        (0.1, 0.2, 787, 41, 123),
        (0.1, 0.05, 1783, 120, 243),
        (0.1, 0.15, 2757, 202, 356),
        (0.1, 0.0, 138, 1, 34),
        (0.5, 0.4, 1586, 696, 890),
        (0.5, 0.25, 236, 81, 155),
        (0.2, 0.1, 821, 111, 222),
    ],
)
def test_the_published_table(p0: float, p1: float, n: int, low: int, high: int) -> None:
    found = design(p0, (p1,), 1e-6, 1e-3)
    assert (found.n, found.low, found.high) == (n, low, high)


def test_exact_rates_are_scipys() -> None:
    found = evaluate(787, 0.1, (0.2,), 1e-6)
    alpha = binom.cdf(found.low - 1, 787, 0.1) + binom.sf(found.high, 787, 0.1)
    assert found.false_fail == pytest.approx(alpha, rel=1e-9)
    miss = binom.cdf(found.high, 787, 0.2) - binom.cdf(found.low - 1, 787, 0.2)
    assert found.miss == pytest.approx(miss, rel=1e-9)


def test_usual_practice_for_contrast() -> None:
    outside = binom.cdf(4, 100, 0.1) + binom.sf(15, 100, 0.1)
    assert outside == pytest.approx(0.064, abs=5e-4)


@pytest.mark.parametrize(("p0", "alternatives"), [(0.0, (0.1,)), (0.5, ()), (0.5, (0.5,))])
def test_shares_that_nobody_can_tell_apart(p0: float, alternatives: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match=r"share|alternative"):
        design(p0, alternatives, 1e-6, 1e-3)
