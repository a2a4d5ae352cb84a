"""Gradebook sheets: the exported one is filled, cell by cell, never made from scratch.

A platform knows its own columns and people; a sheet that was made elsewhere creates columns, loses
feedback or grades the wrong Smith.  So the file that the platform exported comes in and the same
file goes out with the marks in it: same columns, same order, same rows.

Canvas: ``Student, ID, SIS User ID, SIS Login ID, Section, <assignment> (<id>)``, a row with
``Points Possible`` below the header.  Moodle (grading worksheet): ``Identifier, Full name, Email
address, Status, Grade, Maximum grade, ..., Feedback comments``.
"""

from __future__ import annotations

import csv
import io
import re
from dataclasses import dataclass, field

from grader.course.grades import MISSING, Row, number
from grader.course.roster import CourseError, Hints, Roster

_MOODLE_ID = re.compile(r"(\d+)\s*$")


@dataclass(slots=True)
class Filled:
    """The new sheet, how many marks went into it, whom it knows and who is not in it."""

    text: str
    count: int = 0
    seen: set[str] = field(default_factory=set)
    absent: list[str] = field(default_factory=list)


def read(text: str) -> list[list[str]]:
    """The rows of a CSV sheet, with or without a byte order mark."""
    return list(csv.reader(io.StringIO(text.removeprefix("\ufeff"))))


def write(rows: list[list[str]], like: str) -> str:
    """The sheet again, with the byte order mark and the line ends of ``like``."""
    out = io.StringIO()
    ending = "\r\n" if "\r\n" in like else "\n"
    csv.writer(out, lineterminator=ending).writerows(rows)
    return ("\ufeff" if like.startswith("\ufeff") else "") + out.getvalue()


def _cell(line: list[str], header: list[str], name: str) -> str:
    found = next((n for n, head in enumerate(header) if head.casefold() == name.casefold()), -1)
    return line[found].strip() if 0 <= found < len(line) else ""


def _marks(table: list[Row]) -> dict[str, Row]:
    return {row.student: row for row in table}


def fill_canvas(text: str, table: list[Row], roster: Roster, assignment: str) -> Filled:
    """Fill the column whose name begins with ``assignment``; a mark that is None leaves its cell.

    CourseError when the sheet is not Canvas', or no or several columns fit.
    """
    rows = read(text)
    header = rows[0] if rows else []
    if "Student" not in header or "ID" not in header:
        raise CourseError(
            "This is not a gradebook that Canvas exported: Student and ID are missing."
        )
    wanted = [n for n, name in enumerate(header) if re.sub(r"\s*\(\d+\)$", "", name) == assignment]
    if len(wanted) != 1:
        known = ", ".join(name for name in header if re.search(r"\(\d+\)$", name)) or "none"
        raise CourseError(
            f"The sheet has {len(wanted)} columns {assignment!r}; there are: {known}."
        )
    filled, marks = Filled(""), _marks(table)
    for line in rows[1:]:
        name = line[0].strip() if line else ""
        if name.casefold() == "points possible" or not name or name == "Student, Test":
            continue
        keys = tuple(_cell(line, header, each) for each in ("SIS Login ID", "SIS User ID"))
        hints = Hints(name=name, keys=keys, canvas=_cell(line, header, "ID"))
        _put(line, wanted[0], marks, _student(hints, roster, marks), filled)
    return _done(filled, rows, text, marks)


def fill_moodle(text: str, table: list[Row], roster: Roster) -> Filled:
    """Fill ``Grade`` and ``Feedback comments`` of a grading worksheet, scaled to its maximum.

    A row without a mark keeps both: feedback without a grade would wipe the grade.
    """
    rows = read(text)
    header = rows[0] if rows else []
    place = {name.casefold(): n for n, name in enumerate(header)}
    if "identifier" not in place or "grade" not in place:
        raise CourseError(
            "This is not a grading worksheet of Moodle: Identifier, Grade are missing."
        )
    filled, marks = Filled(""), _marks(table)
    for line in rows[1:]:
        if not line:
            continue
        match = _MOODLE_ID.search(_cell(line, header, "Identifier"))
        keys = tuple(_cell(line, header, each) for each in ("Email address", "ID number"))
        hints = Hints(
            name=_cell(line, header, "Full name"), keys=keys, moodle=match[1] if match else ""
        )
        student = _student(hints, roster, marks)
        row = marks.get(student)
        if _cell(line, header, "Grade can be changed").casefold() == "no" or row is None:
            continue
        scale = _scale(_cell(line, header, "Maximum grade"), row)
        if _put(line, place["grade"], marks, student, filled, scale) and row.score is not None:
            feedback = place.get("feedback comments")
            if feedback is not None:
                line[feedback] = row.reason
    return _done(filled, rows, text, marks)


def _scale(maximum: str, row: Row) -> float:
    try:
        return float(maximum.replace(",", ".")) / row.max_score if row.max_score else 1.0
    except ValueError:
        return 1.0


def _student(hints: Hints, roster: Roster, marks: dict[str, Row]) -> str:
    found = roster.match(hints)
    if found is not None:
        return found.student
    return next((key for key in (*hints.keys, hints.name) if key in marks), "")


def _put(
    line: list[str],
    column: int,
    marks: dict[str, Row],
    student: str,
    filled: Filled,
    scale: float = 1.0,
) -> bool:
    row = marks.get(student)
    if row is None:
        return False
    filled.seen.add(student)
    if row.score is None:
        return False
    line.extend([""] * (column + 1 - len(line)))
    line[column] = number(row.score * scale)
    filled.count += 1
    return True


def _done(filled: Filled, rows: list[list[str]], text: str, marks: dict[str, Row]) -> Filled:
    filled.absent = [
        name for name, row in marks.items() if name not in filled.seen and row.verdict != MISSING
    ]
    filled.text = write(rows, text)
    return filled
