"""The roster: who is in the course, and who of them a learning platform means.

``roster.csv`` has a column ``student`` or ``id`` (that all marks carry) and as many of these as there
are: ``name, email, login, sid, canvas, moodle, group``.  A gradebook export can be renamed to it.
Platforms name people by their own numbers, by name or by e-mail address; a submission belongs to
the one student that fits, and to nobody when two fit.
"""

from __future__ import annotations

import csv
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from grader.lab import LabError

COLUMNS = ("student", "name", "email", "login", "sid", "canvas", "moodle", "group")


class CourseError(LabError):
    """Something of the course's own files is wrong; the text names file, line and remedy."""


@dataclass(frozen=True, slots=True)
class Student:
    """One row of the roster."""

    student: str
    name: str = ""
    email: str = ""
    login: str = ""
    sid: str = ""
    canvas: str = ""
    moodle: str = ""
    group: str = ""


@dataclass(frozen=True, slots=True)
class Hints:
    """What a platform says about who handed in; empty where it says nothing.

    ``keys`` are ids that may be a student id, a login, an e-mail address or an SIS id.
    """

    name: str = ""
    keys: tuple[str, ...] = ()
    canvas: str = ""
    moodle: str = ""

    @property
    def label(self) -> str:
        """How the submission is called when nobody on the roster fits."""
        return next((key for key in self.keys if key), "") or self.name or self.canvas


@dataclass(slots=True)
class Roster:
    """All students, in the order of the file."""

    students: list[Student] = field(default_factory=list)

    def find(self, student: str) -> Student | None:
        """The student with this id."""
        return next((each for each in self.students if each.student == student), None)

    def group(self, name: str) -> list[Student]:
        """The members of a group."""
        return [each for each in self.students if name and each.group == name]

    def match(self, hints: Hints) -> Student | None:
        """The one student who is meant; None when nobody or several could be.

        Moodle puts a group and ``-`` before the name: tried when the whole name fits nobody.
        """
        wanted = {key.casefold() for key in hints.keys if key}
        by_number = [
            each
            for each in self.students
            if (hints.canvas and each.canvas == hints.canvas)
            or (hints.moodle and each.moodle == hints.moodle)
        ]
        by_key = [
            each
            for each in self.students
            if wanted
            & {word.casefold() for word in (each.student, each.email, each.login, each.sid) if word}
        ]
        by_name = [self._named(name) for name in (hints.name, hints.name.partition("-")[2])]
        for found in (by_number, by_key, *by_name):
            if len(found) == 1:
                return found[0]
            if found:
                return None
        return None

    def _named(self, name: str) -> list[Student]:
        key = name_key(name)
        return [each for each in self.students if key and key in name_keys(each.name)]


def name_key(name: str) -> str:
    """A name as platforms squeeze it into file names: letters and digits only, no accents."""
    plain = unicodedata.normalize("NFKD", name)
    return "".join(sign for sign in plain.casefold() if sign.isalnum())


def name_keys(name: str) -> set[str]:
    """``Ada King Noel``: adakingnoel, noeladaking, kingnoelada (family names first as well)."""
    parts = name.replace(",", " ").split()
    return {name_key("".join(parts[cut:] + parts[:cut])) for cut in range(len(parts))}


def read_roster(path: Path) -> Roster:
    """Read ``roster.csv``; CourseError with the line that is wrong."""
    roster = Roster()
    seen: dict[str, int] = {}
    for line, row in read_table(path, required=()):
        row.setdefault("student", row.pop("id", ""))
        unknown = sorted(set(row) - set(COLUMNS) - {""})
        if unknown and line == 2:
            raise CourseError(
                f"{path}:1: there is no column {unknown[0]!r}; known are {', '.join(COLUMNS)}."
            )
        student = Student(**{name: row.get(name, "") for name in COLUMNS})
        if not student.student:
            raise CourseError(f"{path}:{line}: the student's id is empty; give each row an id.")
        if student.student in seen:
            raise CourseError(
                f"{path}:{line}: {student.student} stands in line {seen[student.student]} already; "
                "remove one of them."
            )
        seen[student.student] = line
        roster.students.append(student)
    return roster


def read_table(path: Path, required: Iterable[str]) -> list[tuple[int, dict[str, str]]]:
    """The rows of a CSV file with their line numbers; CourseError when a column is missing."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise CourseError(f"{path} cannot be read: {error.strerror}.") from None
    except UnicodeDecodeError:
        raise CourseError(f"{path} is not UTF-8; save it as CSV UTF-8.") from None
    reader = csv.DictReader(text.splitlines(), restval="", restkey="")
    for name in required:
        if name not in (reader.fieldnames or ()):
            raise CourseError(f"{path}:1: the column {name!r} is missing.")
    return [
        (reader.line_num, {key: value.strip() for key, value in row.items() if key})
        for row in reader
    ]
