"""``course.yaml``: the rules of one course, read once and checked.

    course: Service meshes, autumn 2026
    roster: roster.csv                    # beside this file; without one all are graded as they come
    era: istio-1.9                        # numbered: what a name pointed to must not change a mark
    timezone: Europe/Berlin               # of dates without one
    late: {grace_minutes: 10, per_day: 10, max_days: 3}
    attempts: 0                           # how many count; 0: all
    keep: best                            # best, last, first or average
    labs:
      1: {points: 10, due: 2026-11-02 23:59, group: false, answers: true}
    extensions:
      - {student: ada, lab: 1, until: 2026-11-05 23:59, reason: ill}
    issued: staff                         # the folder of `grade issue`: whose numbers each one has
    times: times.csv                      # student,lab,submitted where the platform tells no time
    overrides: overrides.csv              # grader/course/overrides.py
    hidden: [no-request-fails]            # checks that feedback counts but does not show

Every key may be left out; what is there must be right.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, tzinfo
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import yaml

from grader.course.policy import KEEPS, Policy
from grader.course.roster import CourseError, Roster, read_roster, read_table

_KEYS = (
    "course",
    "roster",
    "era",
    "timezone",
    "late",
    "attempts",
    "keep",
    "labs",
    "extensions",
    "issued",
    "times",
    "overrides",
    "hidden",
)


@dataclass(frozen=True, slots=True)
class CourseLab:
    """A lab in this course; ``points`` None: those of its checks.

    ``answers``: the points of predictions and diagnosis count as well.
    """

    points: float | None = None
    due: datetime | None = None
    group: bool = False
    answers: bool = False


@dataclass(frozen=True, slots=True)
class Course:
    """The rules; the default one grades everybody, counts the best attempt and knows no date."""

    title: str = ""
    era: str = ""
    roster: Roster = field(default_factory=Roster)
    policy: Policy = field(default_factory=Policy)
    labs: Mapping[int, CourseLab] = field(default_factory=dict)
    extensions: Mapping[tuple[str, int], datetime] = field(default_factory=dict)
    times: Mapping[tuple[str, int], datetime] = field(default_factory=dict)
    overrides: Path | None = None
    issued: Path | None = None
    hidden: frozenset[str] = frozenset()

    def lab(self, number: int) -> CourseLab:
        """The lab's rules; those of a lab that the course does not list are the default ones."""
        return self.labs.get(number, CourseLab())


def read_course(path: Path) -> Course:
    """Read and check ``course.yaml`` and the tables that it names; CourseError says what is wrong."""
    try:
        raw = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise CourseError(f"{path} cannot be read: {error.strerror}.") from None
    except (yaml.YAMLError, ValueError) as error:
        place = getattr(error, "problem_mark", None)
        line = f":{place.line + 1}" if place else ""
        raise CourseError(
            f"{path}{line} is not YAML: {getattr(error, 'problem', error)}."
        ) from None
    if not isinstance(raw, dict):
        raise CourseError(f"{path} is not a mapping of keys.")
    return _Reader(path).course(raw)


class _Reader:
    """Reads the parts; knows the file for its messages."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.zone: tzinfo = UTC

    def wrong(self, where: str, text: str) -> CourseError:
        return CourseError(f"{self.path}: {where} {text}.")

    def course(self, raw: dict[str, Any]) -> Course:
        self.keys("course.yaml", raw, _KEYS)
        self.zone = self.timezone(raw.get("timezone", "UTC"))
        roster = Roster()
        if raw.get("roster"):
            roster = read_roster(self.path.parent / str(raw["roster"]))
        overrides, issued = raw.get("overrides"), raw.get("issued")
        if issued and not (self.path.parent / str(issued) / "students").is_dir():
            raise self.wrong("issued", f"is {issued}, where `grade issue` has written nothing")
        return Course(
            title=str(raw.get("course", "")),
            era=self.era(raw.get("era", "")),
            roster=roster,
            policy=self.policy(raw),
            labs=self.labs(raw.get("labs") or {}),
            extensions=self.extensions(raw.get("extensions") or [], roster),
            times=self.times(raw.get("times")),
            overrides=self.path.parent / str(overrides) if overrides else None,
            issued=self.path.parent / str(issued) if issued else None,
            hidden=frozenset(str(name) for name in raw.get("hidden") or ()),
        )

    def keys(self, where: str, raw: object, known: tuple[str, ...]) -> dict[str, Any]:
        if not isinstance(raw, dict):
            raise self.wrong(where, f"is {raw!r}, not a mapping")
        unknown = [key for key in raw if key not in known]
        if unknown:
            raise self.wrong(where, f"has no key {unknown[0]!r}; known are {', '.join(known)}")
        return raw

    def timezone(self, name: object) -> tzinfo:
        try:
            return ZoneInfo(str(name))
        except (ZoneInfoNotFoundError, ValueError):
            raise self.wrong("timezone", f"is {name!r}; name one like Europe/Berlin") from None

    def era(self, name: object) -> str:
        from mesh.istio.eras import CURRENT, era

        if not name:
            return ""
        if name == CURRENT:
            known = era(CURRENT).name
            raise self.wrong("era", f"is {name}, which moves; write the number, {known}")
        try:
            return era(str(name)).name
        except ValueError as error:
            raise self.wrong("era", f"is {name!r}: {error}") from None

    def policy(self, raw: dict[str, Any]) -> Policy:
        late = self.keys("late", raw.get("late") or {}, ("grace_minutes", "per_day", "max_days"))
        keep = raw.get("keep", "best")
        if keep not in KEEPS:
            raise self.wrong("keep", f"is {keep!r}; known are {', '.join(KEEPS)}")
        most = late.get("max_days")
        return Policy(
            grace_minutes=int(self.number("late.grace_minutes", late.get("grace_minutes", 0))),
            per_day=self.number("late.per_day", late.get("per_day", 0)),
            max_days=None if most is None else int(self.number("late.max_days", most)),
            attempts=int(self.number("attempts", raw.get("attempts", 0))),
            keep=keep,
        )

    def number(self, where: str, value: object) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float) or value < 0:
            raise self.wrong(where, f"is {value!r}, not a number from 0 on")
        return float(value)

    def labs(self, raw: object) -> dict[int, CourseLab]:
        if not isinstance(raw, dict):
            raise self.wrong("labs", "is not a mapping of lab numbers")
        found = {}
        for key, value in raw.items():
            where = f"labs.{key}"
            if not isinstance(key, int):
                raise self.wrong(where, "is not the number of a lab")
            item = self.keys(where, value or {}, ("points", "due", "group", "answers"))
            points = item.get("points")
            found[key] = CourseLab(
                points=None if points is None else self.number(f"{where}.points", points),
                due=self.time(f"{where}.due", item["due"]) if item.get("due") else None,
                group=bool(item.get("group", False)),
                answers=bool(item.get("answers", False)),
            )
        return found

    def time(self, where: str, value: object) -> datetime:
        if isinstance(value, str):
            try:
                value = datetime.fromisoformat(value)
            except ValueError:
                raise self.wrong(where, f"is {value!r}; write 2026-11-02 23:59") from None
        if isinstance(value, datetime):
            return value if value.tzinfo else value.replace(tzinfo=self.zone)
        if hasattr(value, "year"):  # a date: its last moment
            text = f"{value} 00:00"
            return self.time(where, text) + timedelta(days=1)
        raise self.wrong(where, f"is {value!r}; write 2026-11-02 23:59")

    def extensions(self, raw: object, roster: Roster) -> dict[tuple[str, int], datetime]:
        if not isinstance(raw, list):
            raise self.wrong("extensions", "is not a list")
        found = {}
        for number, value in enumerate(raw):
            where = f"extensions[{number}]"
            item = self.keys(where, value, ("student", "lab", "until", "reason"))
            for key in ("student", "lab", "until"):
                if key not in item:
                    raise self.wrong(where, f"lacks {key!r}")
            student = str(item["student"])
            if roster.students and roster.find(student) is None:
                raise self.wrong(where, f"names {student!r}, who is not in the roster")
            found[student, int(item["lab"])] = self.time(f"{where}.until", item["until"])
        return found

    def times(self, name: object) -> dict[tuple[str, int], datetime]:
        if not name:
            return {}
        path = self.path.parent / str(name)
        found = {}
        for line, row in read_table(path, required=("student", "lab", "submitted")):
            if not row["lab"].isdigit():
                raise CourseError(f"{path}:{line}: the lab is {row['lab']!r}, not a number.")
            where = f"{path.name}:{line}: submitted"
            found[row["student"], int(row["lab"])] = self.time(where, row["submitted"])
        return found
