"""Parameters: the numbers of a task, drawn for each student.

``lab.yaml`` has the self-study set in ``parameters`` and, in ``draw``, lists to choose from: one
entry of every list is drawn, and overrides the self-study set where they meet.

    parameters: {share: 10, rest: 90, alternatives: [20, 2]}
    draw:
      - - {share: 15, rest: 85, alternatives: [27, 6]}
        - {share: 25, rest: 75, alternatives: [38, 14]}

The draw depends on the student's seed and the lab's number alone, so a file issued in the first
week also fits a lab that is written in the tenth.  Nobody draws the self-study set (a test of the
labs holds that), so an answer to it can be told from an answer to one's own.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

Values = dict[str, Any]
Groups = Sequence[Sequence[Values]]

SELF_STUDY = "the self-study set of parameters"


@dataclass(frozen=True, slots=True)
class ParameterSet:
    """The values of one run and whose they are.

    ``student`` is the student's id, ``""`` for the self-study set; ``owner`` says it in words;
    ``seed`` makes further choices (which mesh is to be diagnosed), ``""`` always takes the first.
    """

    values: Values
    student: str = ""
    owner: str = SELF_STUDY
    seed: str = ""

    def choose(self, what: str, count: int) -> int:
        """Choose one of ``count`` things for this student; 0 for the self-study set."""
        return pick(self.seed, what, count) if self.seed else 0


def pick(seed: str, what: str, count: int) -> int:
    """A number below ``count`` that follows from ``seed`` and the question ``what``."""
    found = hashlib.sha256(f"{seed}/{what}".encode()).digest()
    return int.from_bytes(found) % count


def draw(self_study: Values, groups: Groups, seed: str, lab: str) -> Values:
    """The values of the student with this ``seed`` in ``lab`` (``lab-01``)."""
    drawn = dict(self_study)
    for number, group in enumerate(groups):
        drawn.update(group[pick(seed, f"{lab}/{number}", len(group))])
    return drawn


def all_sets(self_study: Values, groups: Groups) -> Iterator[Values]:
    """Every set that can be drawn; the self-study set itself is not among them."""
    if not groups:
        return
    for chosen in itertools.product(*groups):
        values = dict(self_study)
        for part in chosen:
            values.update(part)
        yield values
