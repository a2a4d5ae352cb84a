"""A two-sided sequential test: ask only as many requests as the answer needs.

Wald's sequential probability ratio test (SPRT, 1945) adds, request by request, the logarithm of
how much better a wrong share explains what was seen than the right one.  Two alternatives, one on
either side (80/20 and 98/2 beside 90/10), are two such walks:

* one of them reaches ``A = ln(m (1 - beta) / alpha)``: that alternative explains it, **fail**;
* all of them are at or below ``-B = -ln(1 / beta)``: none explains it, **pass**.

``m`` is the number of alternatives; ``alpha`` bounds the false fails (Wald: P <= alpha), ``beta``
the misses.  Looking after batches only makes both rarer.  The walk is cut at twice the exact
fixed size (``fixed.py``), where the sign of the walks decides; a dynamic programme over the batch
lattice (``exact.py``) shows in the tests that the rates hold with batches and cut included.

The decision depends on (trials, hits) alone: a recorded run is judged again as it was.
"""

from __future__ import annotations

import enum
import math
from collections.abc import Iterable
from dataclasses import dataclass, field

from grader.evidence.fixed import check_shares, design

ALPHA = 1e-6
"""False fail: the largest probability that a right answer is refused."""

BETA = 1e-3
"""Miss: the largest probability that a wrong answer (as wrong as an alternative) passes."""


class Decision(enum.StrEnum):
    """What the test says after a batch."""

    PASS = "pass"  # noqa: S105  a verdict, not a secret
    FAIL = "fail"
    CONTINUE = "continue"


@dataclass(frozen=True, slots=True)
class SequentialTest:
    """The test of share ``p0`` against ``alternatives``; ``n_max`` is where it is cut.

    ``upper`` and ``lower`` are the boundaries of the walks (A and -B).
    """

    p0: float
    alternatives: tuple[float, ...]
    alpha: float = ALPHA
    beta: float = BETA
    batch: int = 25
    n_max: int = field(default=0)

    def __post_init__(self) -> None:
        """Refuse what cannot be told apart; compute ``n_max`` when it is not given."""
        check_shares(self.p0, self.alternatives)
        if not 0 < self.alpha < 0.5 or not 0 < self.beta < 0.5 or self.batch < 1:
            raise ValueError("alpha and beta lie between 0 and 0.5, a batch has at least 1 request")
        if not self.n_max:
            fixed = design(self.p0, self.alternatives, self.alpha, self.beta).n
            whole = -(-2 * fixed // self.batch) * self.batch
            object.__setattr__(self, "n_max", whole)

    @property
    def upper(self) -> float:
        """Boundary A: a walk that reaches it proves the share wrong."""
        return math.log(len(self.alternatives) * (1 - self.beta) / self.alpha)

    @property
    def lower(self) -> float:
        """Boundary -B: a walk at or below it rules its alternative out."""
        return -math.log(1 / self.beta)

    def walks(self, trials: int, hits: int) -> tuple[float, ...]:
        """The log-likelihood ratio of each alternative against ``p0``, in their order."""
        return tuple(ratio(trials, hits, p1, self.p0) for p1 in self.alternatives)

    def decide(self, trials: int, hits: int) -> Decision:
        """The decision after ``trials`` requests of which ``hits`` were hits."""
        if not 0 <= hits <= trials:
            raise ValueError(f"{hits} hits in {trials} trials")
        walks = self.walks(trials, hits)
        if any(walk >= self.upper for walk in walks):
            return Decision.FAIL
        if all(walk <= self.lower for walk in walks):
            return Decision.PASS
        if trials < self.n_max:
            return Decision.CONTINUE
        return Decision.PASS if all(walk <= 0 for walk in walks) else Decision.FAIL

    def replay(self, outcomes: Iterable[bool]) -> Outcome:
        """Judge a record in its order, batch by batch, and stop where the test stops.

        CONTINUE when the record ends before the test does.
        """
        trials = hits = 0
        for outcome in outcomes:
            trials += 1
            hits += outcome
            if trials % self.batch == 0:
                decision = self.decide(trials, hits)
                if decision is not Decision.CONTINUE:
                    return Outcome(decision, trials, hits)
        return Outcome(Decision.CONTINUE, trials, hits)

    @property
    def summary(self) -> str:
        """The question and its error rates, for the report."""
        wrong = " and ".join(f"{share:.0%}" for share in sorted(self.alternatives))
        return (
            f"{self.p0:.0%} against {wrong}, false fail <= {self.alpha:.0e}, "
            f"miss <= {self.beta:.0e}"
        ).replace("e-0", "e-")


@dataclass(frozen=True, slots=True)
class Outcome:
    """Where a sequential test stands: its decision, the trials it used and the hits among them."""

    decision: Decision
    trials: int
    hits: int

    @property
    def share(self) -> float:
        """Hits per trial, 0 without trials."""
        return self.hits / self.trials if self.trials else 0.0


def ratio(trials: int, hits: int, p1: float, p0: float) -> float:
    """Give ln P(record | p1) - ln P(record | p0); minus infinity when ``p1`` makes it impossible."""
    misses = trials - hits
    if (hits and p1 == 0.0) or (misses and p1 == 1.0):
        return -math.inf
    total = 0.0
    if hits:
        total += hits * math.log(p1 / p0)
    if misses:
        total += misses * math.log((1 - p1) / (1 - p0))
    return total
