"""Walk: the record behind a sequential verdict, in the order in which it was decided.

A lab's ``checks.py`` may say which of its checks rest on a sequential test:

    def walks(evidence: Evidence) -> dict[str, Walk]: ...      # by the check's name

Feedback draws it: the test's path to its boundary, and where the count lies.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from grader.evidence.sequential import Decision, SequentialTest


@dataclass(frozen=True, slots=True)
class Walk:
    """``outcomes`` are the trials, True for a hit; ``what`` says what a hit is (``answered by v2``)."""

    test: SequentialTest
    outcomes: tuple[bool, ...]
    what: str

    @property
    def used(self) -> tuple[int, int]:
        """Trials and hits at which the test ended, or all of them."""
        found = self.test.replay(self.outcomes)
        return found.trials, found.hits

    @property
    def decision(self) -> Decision:
        """What the test decided."""
        return self.test.replay(self.outcomes).decision

    def points(self) -> Iterator[tuple[int, tuple[float, ...]]]:
        """After each batch, up to the decision: the trials and the walk of every alternative."""
        end, _ = self.used
        hits = 0
        for trials, outcome in enumerate(self.outcomes[:end], start=1):
            hits += outcome
            if trials % self.test.batch == 0:
                yield trials, self.test.walks(trials, hits)
