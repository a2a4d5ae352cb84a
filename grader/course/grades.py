"""The tables of a course: ``grades.csv`` for the gradebook, ``details.csv`` for people.

A row a student and lab.  A mark is what the policy makes of the student's attempts; an override
comes last and is shown.  Who handed in nothing stands there too, with the verdict ``missing``.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from grader.course.course import Course, CourseLab
from grader.course.overrides import Override, apply_overrides, check_students, read_overrides
from grader.course.policy import Attempt as Graded
from grader.course.policy import Mark, decide
from grader.course.store import Attempt, Store
from grader.lab import find_lab
from grader.verdict import Verdict
from mesh.state import write_atomic

GRADES = "grades.csv"
DETAILS = "details.csv"
COLUMNS = ("student", "lab", "score", "max_score", "verdict", "seconds")
DETAIL_COLUMNS = (*COLUMNS[:5], "reason", "days_late", "penalty", "submitted", "evidence", "notes")
MISSING = "missing"


@dataclass(frozen=True, slots=True)
class Row:
    """A student's mark for a lab; ``score`` None where nothing could be judged.

    ``attempt`` is the one that counts, ``result`` its content after overrides.
    """

    student: str
    lab: int
    score: float | None
    max_score: float
    verdict: str
    seconds: float
    reason: str
    attempt: Attempt | None = None
    result: dict[str, Any] | None = None
    mark: Mark | None = None
    overridden: tuple[Override, ...] = ()


def number(value: float | None) -> str:
    """Points for a table: two decimals at most, none where there are none, empty for None."""
    return "" if value is None else f"{round(value, 2):g}"


Results = Mapping[str, dict[str, Any]]


def rows(
    store: Store, course: Course, labs: list[int] | None = None, instead: Results | None = None
) -> list[Row]:
    """All rows, by lab and in the roster's order; CourseError when the overrides are wrong.

    ``instead`` has results, by the attempt's name, that take the place of the stored ones.
    """
    overrides = read_overrides(course.overrides) if course.overrides else []
    if course.overrides:
        people = {*course.roster.students, *store.students.values()}
        check_students(course.overrides, overrides, {each.student for each in people})
    found: list[Row] = []
    for lab in labs if labs is not None else store.labs():
        held: dict[str, list[Attempt]] = {}
        for attempt in store.attempts(lab):
            for member in attempt.members:
                held.setdefault(member, []).append(attempt)
        order = [store.alias(each.student) for each in course.roster.students]
        others = [alias for alias in held if alias not in order]
        order += sorted(others, key=lambda alias: store.students[alias].student)
        students = {alias: store.students[alias].student for alias in order if alias}
        for alias, student in students.items():
            wanted = [each for each in overrides if (each.student, each.lab) == (student, lab)]
            found.append(row(student, lab, held.get(alias, []), course, wanted, instead))
    return found


def row(
    student: str,
    lab: int,
    attempts: list[Attempt],
    course: Course,
    overrides: list[Override],
    instead: Results | None = None,
) -> Row:
    """One row from the attempts that have a verdict."""
    rule = course.lab(lab)
    judged = [each for each in attempts if each.done]
    found = {each.name: (instead or {}).get(each.name) or each.result() for each in judged}
    results = {
        name: apply_overrides(counted(each, rule), overrides, rule.points)
        for name, each in found.items()
    }
    if not judged:
        if attempts:
            return Row(student, lab, None, full(lab, course), "pending", 0.0, "not judged yet")
        return _missing(student, lab, course, overrides)
    scale = {
        name: (rule.points / result["max_score"] if rule.points is not None else 1.0)
        for name, result in results.items()
    }
    graded = [
        Graded(
            each.name,
            points(results[each.name], scale[each.name]),
            results[each.name]["max_score"] * scale[each.name],
            each.when or course.times.get((student, lab)),
            each.late,
        )
        for each in judged
    ]
    extended = course.extensions.get((student, lab))
    mark = decide(graded, course.policy, rule.due, extended)
    assert mark is not None
    chosen = next(each for each in judged if each.name == mark.attempt)
    result = results[chosen.name]
    why = result.get("reason", "")
    said = [f"{mark.why}: {why}"] if why and mark.points is None else [why, mark.why]
    said += [each.text for each in overrides]
    decided = {each.check for each in overrides}
    left = [item for item in result["checks"] if item["name"] not in decided]
    lost = any(item["verdict"] != Verdict.PASS for item in left) and "" not in decided
    if not result.get("reason") and (lost or not any(said)):  # lateness alone explains no check
        said.append(first_failure({**result, "checks": left}, course.hidden))
    reason = "; ".join(part for part in said if part)
    verdict = str(result["verdict"])
    return Row(
        student,
        lab,
        mark.points,
        mark.max_points,
        verdict,
        float(result["seconds"]),
        reason,
        chosen,
        result,
        mark,
        tuple(overrides),
    )


def counted(result: dict[str, Any], rule: CourseLab) -> dict[str, Any]:
    """The result with its answers among the checks, where the course counts them."""
    if not rule.answers or not result.get("answers"):
        return result
    checks = [*result["checks"], *result["answers"]]
    verdicts = {item["verdict"] for item in checks}
    verdict = "ungradable" if "ungradable" in verdicts else result["verdict"]
    return {
        **result,
        "checks": checks,
        "score": sum(item["points"] for item in checks),
        "max_score": sum(item["max_points"] for item in checks),
        "verdict": "fail" if verdict == "pass" and verdicts != {"pass"} else verdict,
    }


def points(result: dict[str, Any], scale: float) -> float | None:
    """The points of a result; None where a check is ungradable and nobody has decided it."""
    return None if result["verdict"] == Verdict.UNGRADABLE else result["score"] * scale


def first_failure(result: dict[str, Any], hidden: frozenset[str] = frozenset()) -> str:
    """The reason of a verdict in one sentence; a hidden check is not named: students read it."""
    lost = [item for item in result["checks"] if item["verdict"] != Verdict.PASS]
    if not lost:
        return "all checks passed"
    more = f" (and {len(lost) - 1} more)" if len(lost) > 1 else ""
    shown = next((item for item in lost if item["name"] not in hidden), None)
    said = f"{shown['name']}: {shown['rationale']}" if shown else "a hidden check was lost"
    return f"{said}{more}"


def full(lab: int, course: Course) -> float:
    """The points of a lab in this course."""
    rule = course.lab(lab)
    if rule.points is not None:
        return rule.points
    from grader.checks import load_answer_checks, load_checks

    folder = find_lab(lab).folder
    answers = load_answer_checks(folder) if rule.answers else ()
    return float(load_checks(folder / "checks.py").max_score + sum(a.points for a in answers))


def _missing(student: str, lab: int, course: Course, overrides: list[Override]) -> Row:
    whole = [each for each in overrides if not each.check]
    score = whole[-1].points if whole else 0.0
    said = "; ".join(["nothing was handed in", *(each.text for each in whole)])
    overridden = tuple(whole)
    return Row(student, lab, score, full(lab, course), MISSING, 0.0, said, overridden=overridden)


def write_tables(store: Store, table: list[Row]) -> None:
    """Write ``grades.csv`` and ``details.csv``, each in one step."""
    grades = [
        [r.student, r.lab, number(r.score), number(r.max_score), r.verdict, f"{r.seconds:.1f}"]
        for r in table
    ]
    write_atomic(store.out / GRADES, to_csv(COLUMNS, grades))
    details = [
        [
            r.student,
            r.lab,
            number(r.score),
            number(r.max_score),
            r.verdict,
            r.reason,
            r.mark.days if r.mark else "",
            number(r.mark.penalty) if r.mark else "",
            r.attempt.submitted if r.attempt else "",
            r.attempt.name if r.attempt else "",
            "; ".join(r.attempt.notes) if r.attempt else "",
        ]
        for r in table
    ]
    write_atomic(store.out / DETAILS, to_csv(DETAIL_COLUMNS, details))


def written(store: Store) -> dict[tuple[str, int], str]:
    """The marks as ``grades.csv`` has them, by student and lab; none before it is written."""
    try:
        text = (store.out / GRADES).read_text(encoding="utf-8")
    except FileNotFoundError:
        return {}
    table = csv.DictReader(io.StringIO(text))
    return {(row["student"], int(row["lab"])): row["score"] for row in table}


def to_csv(header: tuple[str, ...], lines: list[list[Any]]) -> str:
    """A table as CSV; a text that a spreadsheet would calculate gets an apostrophe."""
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(header)
    for line in lines:
        table.writerow([safe(each) for each in line])
    return text.getvalue()


def safe(value: Any) -> Any:
    """Disarm what a spreadsheet takes for a formula."""
    if isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t", "\r"):
        return f"'{value}"
    return value
