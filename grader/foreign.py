"""Whose task was answered? Recorded evidence is judged again under other sets of parameters.

A check is a pure function of the evidence, and the parameters are part of it.  Where checks fail
under the student's own set and none fails under another one, the files answer that other set: the
self-study set, or one that was drawn for somebody else.  That is reported and judged by a person;
the score stays as it is.
"""

from __future__ import annotations

from dataclasses import replace

from grader.checks import Check, judge
from grader.evidence.record import Evidence
from grader.lab import LabDefinition, read_lab
from grader.parameters import ParameterSet, Values, all_sets
from grader.verdict import CheckResult, Verdict

SOMEBODY = "another student's set of parameters"


def foreign_set(
    lab: LabDefinition,
    checks: tuple[Check, ...],
    evidence: Evidence,
    results: tuple[CheckResult, ...],
) -> ParameterSet | None:
    """The set that these files answer instead of their own, or None.

    Only a set under which every check passes counts, and only where the parameters made the
    difference: a check that fails now.
    """
    if all(item.verdict is not Verdict.FAIL for item in results):
        return None
    plain = read_lab(lab.folder)
    others = [ParameterSet(plain.parameters)]
    others += [ParameterSet(each, owner=SOMEBODY) for each in all_sets(plain.parameters, lab.draw)]
    own = evidence.parameters
    for other in others:
        if other.values != own and _fits(checks, evidence, other.values):
            return other
    return None


def _fits(checks: tuple[Check, ...], evidence: Evidence, values: Values) -> bool:
    again = judge(checks, replace(evidence, parameters=dict(values)))
    return all(item.verdict is Verdict.PASS for item in again)
