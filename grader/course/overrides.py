"""``overrides.csv``: what a person decided, applied last and always shown.

    student,lab,check,points,reason,who,date
    ada,1,share-is-right,4,"wrong roster parameters, see mail",mk,2026-11-09

``check`` empty sets the lab's whole score, in the course's points (before lateness).  Every row
needs a reason and who it was: a mark that somebody changed must say so for as long as it exists.
A row that would do nothing, or give a check more than it has, is refused: it is a slip.
"""

from __future__ import annotations

import copy
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from grader.course.roster import CourseError, read_table
from grader.verdict import Verdict

COLUMNS = ("student", "lab", "check", "points", "reason", "who", "date")


@dataclass(frozen=True, slots=True)
class Override:
    """One decision; ``check`` is ``""`` for the whole lab."""

    student: str
    lab: int
    check: str
    points: float
    reason: str
    who: str
    date: str

    @property
    def text(self) -> str:
        """How it is shown."""
        what = self.check or "the lab"
        return f"{what} set to {self.points:g} by {self.who} on {self.date}: {self.reason}"


def read_overrides(path: Path) -> list[Override]:
    """Read the file, none when it is not there; CourseError names the line that cannot stand."""
    if not path.exists():
        return []
    found = []
    for line, row in read_table(path, required=COLUMNS):
        for name in ("student", "lab", "points", "reason", "who", "date"):
            if not row[name]:
                raise CourseError(f"{path}:{line}: {name} is empty; an override says all of it.")
        try:
            lab, points = int(row["lab"]), float(row["points"])
        except ValueError:
            raise CourseError(f"{path}:{line}: lab and points must be numbers.") from None
        if not 0 <= points < 1e6:
            raise CourseError(f"{path}:{line}: the points are {row['points']}, not from 0 on.")
        texts = {name: row[name] for name in ("student", "check", "reason", "who", "date")}
        found.append(Override(lab=lab, points=points, **texts))
    return found


def check_students(path: Path, overrides: Sequence[Override], known: Collection[str]) -> None:
    """CourseError when one is for somebody who is not in the course."""
    for each in overrides:
        if each.student not in known:
            raise CourseError(
                f"{path}: nobody called {each.student!r} is in the roster or has handed in."
            )


def apply_overrides(
    result: dict[str, Any], overrides: Sequence[Override], full: float | None = None
) -> dict[str, Any]:
    """The result after ``overrides``; the given one stays as it is.

    ``full`` are the course's points for the lab, in which its whole score is set; a check's points
    are the lab's own.

    CourseError when one names a check that the lab does not have, or gives it more than it has.
    """
    if not overrides:
        return result
    changed = copy.deepcopy(result)
    whole = None
    for each in overrides:
        if not each.check:
            whole = each.points * (changed["max_score"] / full if full else 1.0)
            continue
        item = next((one for one in changed["checks"] if one["name"] == each.check), None)
        if item is None:
            known = ", ".join(one["name"] for one in changed["checks"])
            raise CourseError(
                f"overrides: lab {each.lab} has no check {each.check!r}; it has {known}."
            )
        if each.points > item["max_points"]:
            raise CourseError(
                f"overrides: {each.check} of lab {each.lab} has {item['max_points']} points, not "
                f"{each.points:g}; a bonus goes to the whole lab (leave the check empty)."
            )
        item["points"] = each.points
        item["verdict"] = str(Verdict.PASS if each.points >= item["max_points"] else Verdict.FAIL)
        item["rationale"] = f"{each.text} (before: {item['rationale']})"
        item["help"] = ""
    changed["score"] = sum(item["points"] for item in changed["checks"])
    verdicts = {item["verdict"] for item in changed["checks"]}
    if whole is not None:
        changed["score"] = whole
        verdicts = {"pass" if whole >= changed["max_score"] else "fail"}
    if "ungradable" not in verdicts:
        changed["verdict"] = "pass" if verdicts == {"pass"} else "fail"
    return changed
