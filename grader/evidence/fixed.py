"""Fixed-size exact binomial tests: how many requests settle a question once and for all.

Usual practice counts 100 requests and allows 5 points either way; at 90/10 that fails 6.4 % of
the right answers and passes 12.9 % of the 80/20 ones.  An exact design starts from the two error
rates and says how many requests they cost.  The sequential test (``sequential.py``) is cheaper;
this one bounds it: no sequential run is longer than twice the fixed size.

No normal approximation; plain Python, because the grader needs one such number at its start and
importing scipy takes longer than computing it.  The tests compare with ``scipy.stats.binom``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class FixedDesign:
    """Accept when ``low <= hits <= high`` out of ``n`` trials.

    ``false_fail`` is the exact probability that truth ``p0`` is refused, ``miss`` the largest
    exact probability that one of the alternatives is accepted.
    """

    n: int
    low: int
    high: int
    false_fail: float
    miss: float


def log_pmf(k: int, n: int, p: float) -> float:
    """Logarithm of the binomial probability of ``k`` hits in ``n`` trials, 0 < p < 1."""
    choose = math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)
    return choose + k * math.log(p) + (n - k) * math.log1p(-p)


def mass(low: int, high: int, n: int, p: float) -> float:
    """Probability of ``low <= hits <= high``; 0 <= p <= 1."""
    if p <= 0.0 or p >= 1.0:
        return float(low <= (0 if p <= 0.0 else n) <= high)
    low, high = max(low, 0), min(high, n)
    return math.fsum(math.exp(log_pmf(k, n, p)) for k in range(low, high + 1))


def region(n: int, p0: float, alpha: float) -> tuple[int, int]:
    """The narrowest region ``low..high`` that leaves at most ``alpha / 2`` on either side."""
    below = 0.0
    low = 0
    while below + (step := math.exp(log_pmf(low, n, p0))) <= alpha / 2:
        below += step
        low += 1
    above = 0.0
    high = n
    while above + (step := math.exp(log_pmf(high, n, p0))) <= alpha / 2:
        above += step
        high -= 1
    return low, high


def evaluate(n: int, p0: float, alternatives: tuple[float, ...], alpha: float) -> FixedDesign:
    """The design of size ``n`` with its exact error rates."""
    low, high = region(n, p0, alpha)
    false_fail = mass(0, low - 1, n, p0) + mass(high + 1, n, n, p0)
    miss = max(mass(low, high, n, p1) for p1 in alternatives)
    return FixedDesign(n, low, high, false_fail, miss)


def design(p0: float, alternatives: tuple[float, ...], alpha: float, beta: float) -> FixedDesign:
    """The smallest size from which on every larger one has false fail <= ``alpha``, miss <= ``beta``.

    ``p0`` is the right share, 0 < p0 < 1; ``alternatives`` are the nearest wrong ones.  ValueError
    when an alternative equals ``p0`` or lies outside 0..1.
    """
    check_shares(p0, alternatives)
    low, high = 0, 16
    while evaluate(high, p0, alternatives, alpha).miss > beta:
        low, high = high, high * 2
    while high - low > 1:
        middle = (low + high) // 2
        if evaluate(middle, p0, alternatives, alpha).miss > beta:
            low = middle
        else:
            high = middle
    # The miss rate is a sawtooth in n: look above for the last size that misses too often.
    n = high + max(40, high // 20)
    while evaluate(n - 1, p0, alternatives, alpha).miss <= beta:
        n -= 1
    return evaluate(n, p0, alternatives, alpha)


def check_shares(p0: float, alternatives: tuple[float, ...]) -> None:
    """Refuse shares that no test can tell apart."""
    if not 0.0 < p0 < 1.0:
        raise ValueError(f"the right share must lie between 0 and 1, not at {p0}: count exactly")
    if not alternatives:
        raise ValueError("a test needs at least one alternative")
    for p1 in alternatives:
        if p1 == p0 or not 0.0 <= p1 <= 1.0:
            raise ValueError(f"{p1} is no alternative to the share {p0}")
