"""A service level: how many requests came out right, seen between a baseline and a reference.

The baseline is what a mesh keeps with nothing done (a lab's starter), the reference all that can be kept.
Who keeps half of what lies between has half of the way behind them, whatever the two levels are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Level:
    """So many requests of an event came out right; ``baseline`` is the starter's share, 0 to 1.

    ``wrong`` is what went wrong first, in a sentence without its full stop.
    """

    kept: int
    of: int
    baseline: float
    wrong: str = ""

    @property
    def share(self) -> float:
        """Right requests, 0 to 1."""
        return self.kept / self.of

    @property
    def position(self) -> float:
        """0 is the starter's level or less, 1 the reference: all that can be right is."""
        return max(0.0, (self.share - self.baseline) / (1 - self.baseline))


def level(marks: Sequence[tuple[bool, str]], baseline: float) -> Level:
    """A level of marks: whether a request came out right, and what to say if it did not."""
    wrong = next((said for right, said in marks if not right), "")
    return Level(sum(right for right, _ in marks), len(marks), baseline, wrong)
