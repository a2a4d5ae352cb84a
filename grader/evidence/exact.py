"""The exact behaviour of a sequential test: a dynamic programme over its batch lattice.

After each batch the state is one number, the hits so far; its distribution is convolved with the
binomial of one batch, and what the test decides leaves the lattice.  Nothing is simulated and
nothing approximated, so this proves ``sequential.py``; ``make lab-N`` does not need it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.stats import binom

from grader.evidence.sequential import Decision, SequentialTest


@dataclass(frozen=True, slots=True)
class Behaviour:
    """What a test does when the true share is ``truth``.

    ``stops`` maps a number of trials to the probability that the test ends there.
    """

    truth: float
    p_pass: float
    p_fail: float
    stops: dict[int, float]

    @property
    def expected(self) -> float:
        """The mean number of trials, E[N]."""
        return sum(trials * chance for trials, chance in self.stops.items())

    def quantile(self, q: float) -> int:
        """The least number of trials within which a share ``q`` of all runs has ended."""
        total = 0.0
        for trials in sorted(self.stops):
            total += self.stops[trials]
            if total >= q:
                return trials
        return max(self.stops)


def behaviour(test: SequentialTest, truth: float) -> Behaviour:
    """Follow every path of ``test`` under ``truth`` (0 to 1), weighted by its probability."""
    step = binom.pmf(np.arange(test.batch + 1), test.batch, truth)
    alive = np.array([1.0])
    outcome = {Decision.PASS: 0.0, Decision.FAIL: 0.0}
    stops: dict[int, float] = {}
    trials = 0
    while trials < test.n_max:
        trials += test.batch
        alive = np.convolve(alive, step)
        ended = 0.0
        for hits in np.flatnonzero(alive):
            decision = test.decide(trials, int(hits))
            if decision is not Decision.CONTINUE:
                outcome[decision] += float(alive[hits])
                ended += float(alive[hits])
                alive[hits] = 0.0
        if ended:
            stops[trials] = ended
    return Behaviour(truth, outcome[Decision.PASS], outcome[Decision.FAIL], stops)
