"""``grade feedback``: a page and a JSON file for every student and lab."""

from __future__ import annotations

import json
from pathlib import Path

from grader.checks import load_walks
from grader.course.appeals import opened, say
from grader.course.commands import load_course
from grader.course.course import Course
from grader.course.grades import Row, number, rows
from grader.course.store import Store
from grader.evidence.record import Evidence, load_evidence
from grader.export.commands import safe_name
from grader.feedback.page import Feedback, as_html, as_json, lines_of
from grader.feedback.svg import Plot, distribution, latencies, path
from grader.lab import find_lab
from grader.report.terminal import make_console
from grader.run import EXIT_SOUND, guarded
from mesh.state import write_atomic


def write_feedback(out: Path, course_file: Path | None, lab: int | None) -> int:
    """Write ``OUT/feedback/lab-NN/STUDENT.html`` and ``.json``."""
    console = make_console()

    def work() -> int:
        course, store = load_course(course_file), opened(out)
        count = 0
        for row in rows(store, course, None if lab is None else [lab]):
            if row.result is None or row.attempt is None:
                continue
            feedback = feedback_of(store, course, row)
            base = out / "feedback" / f"lab-{row.lab:02d}"
            base.mkdir(parents=True, exist_ok=True)
            name = file_name(store, row.student)
            write_atomic(base / f"{name}.html", as_html(feedback))
            write_atomic(base / f"{name}.json", as_json(feedback))
            count += 1
        say(console, f"{count} pages in {out / 'feedback'}")
        return EXIT_SOUND

    return guarded(console, work)


def file_name(store: Store, student: str) -> str:
    """A student's id as a file name; with the pseudonym where the id had to be changed."""
    safe = safe_name(student)
    return safe if safe == student else f"{safe}-{store.alias(student)}"


def feedback_of(store: Store, course: Course, row: Row) -> Feedback:
    """Everything for one page."""
    assert row.attempt is not None
    assert row.result is not None
    lab = find_lab(row.lab)
    files = row.attempt.folder / "files"
    raw = json.loads((row.attempt.run / "problems.json").read_text(encoding="utf-8"))
    problems = [item for item in raw if item["level"] != "info"]
    evidence = load_evidence(row.attempt.run)
    return Feedback(
        title=f"Lab {lab.number}, {lab.title}",
        student=row.student,
        mark=f"{number(row.score) or 'no mark'} of {number(row.max_score)} points",
        why=row.reason,
        result=row.result,
        problems=problems,
        lines=lines_of(files, problems),
        plots=plots_of(lab.folder / "checks.py", evidence),
        hidden=course.hidden,
    )


def plots_of(checks: Path, evidence: Evidence) -> dict[str, list[Plot]]:
    """The plots by check, and the response times of every probe under ``""``."""
    found: dict[str, list[Plot]] = {}
    for name, walk in load_walks(checks, evidence).items():
        if walk.outcomes:
            found[name] = [distribution(walk), path(walk)]
    probes = dict.fromkeys(item.probe for item in evidence.observations)
    times = [latencies(name, evidence.probe(name)) for name in probes]
    found[""] = [each for each in times if each is not None]
    return found
