"""``grade explain``: how a mark came about, from the evidence that is stored."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rich.console import Console

from grader.course.appeals import next_step, opened, rows_of, say
from grader.course.attempt import own_lab
from grader.course.commands import load_course
from grader.course.course import Course
from grader.course.grades import Row, number
from grader.course.rescore import checks_of
from grader.course.store import Attempt, Store
from grader.course.story import deciding, diagnosed, sentence
from grader.evidence.record import load_evidence
from grader.lab import find_lab
from grader.report.terminal import make_console
from grader.run import EXIT_SOUND, guarded

SEQUENTIAL = (
    "A check of chance looks at one request after another and stops where it is sure: its evidence "
    "may count fewer than were sent."
)


def explain_student(student: str, out: Path, course_file: Path | None, lab: int | None) -> int:
    """``grade explain STUDENT``."""
    console = make_console()

    def run() -> int:
        course, store = load_course(course_file), opened(out)
        for row in rows_of(store, course, student, lab):
            explain_row(console, store, course, row)
        return EXIT_SOUND

    return guarded(console, run)


def explain_row(console: Console, store: Store, course: Course, row: Row) -> None:
    """How one mark came about."""
    mark = f"{number(row.score) or 'no mark'} of {number(row.max_score)} points"
    say(console, f"{row.student}, lab {row.lab}: {mark}, {row.verdict}. {row.reason}")
    if row.attempt is None or row.result is None:
        due = due_of(course, row)
        say(console, f"  It was due {due}." if due else "  No date was set.")
        return
    result, lab = row.result, own_lab(row.attempt)
    say(console, f"  The task: {lab.set.owner} ({lab.parameters_text}).")
    say(console, f"  {arithmetic(row, result)}")
    say(
        console,
        f"  The attempt that counts is {row.attempt.name}{handed_in(course, row, row.attempt)}; judged "
        f"with {result['engine']}, {result['era']}, request ids end in {result['seed']}-NNNNN.",
    )
    for note in row.attempt.notes:
        say(console, f"  Intake: {note}.")
    if result.get("foreign"):
        say(console, f"  These files answer {result['foreign']}.")
    if result.get("reason"):
        for line in unheard(result):
            say(console, f"  {line}")
        say(console, f"  {next_step(row, row.attempt)}")
        return
    checks = checks_of(store, find_lab(row.lab))
    evidence = load_evidence(row.attempt.run)
    for item, lines in deciding(evidence, checks, result):
        head = f"{item['verdict']} {item['points']}/{item['max_points']}"
        say(console, f"  {item['name']} {head}: {item['rationale']}")
        if item["evidence"]:
            say(console, f"    evidence: {item['evidence']}")
        for line in lines:
            say(console, f"    {line}")
    random_checks = any("false fail <=" in item["evidence"] for item in result["checks"])
    for line in (diagnosed(evidence), SEQUENTIAL if random_checks else ""):
        if line:
            say(console, f"  {line}")
    say(console, f"  {next_step(row, row.attempt)}")


def unheard(result: dict[str, Any]) -> list[str]:
    """Of an attempt of which nothing ran: the checks with what is said of them, each reason once."""
    said: dict[str, list[str]] = {}
    for item in result["checks"]:
        head = f"{item['name']} {item['verdict']} {item['points']:g}/{item['max_points']}"
        text = f"{sentence(item['rationale'])} {item['help']}".strip()
        said.setdefault(text, []).append(head)
    lines = ["Nothing ran, so there are no requests to look at."]
    for text, heads in said.items():
        lines += [f"{', '.join(heads)}:", f"  {text}"]
    return lines


def arithmetic(row: Row, result: dict[str, Any]) -> str:
    """How the points of the checks became the mark, in one line."""
    asked = {item["name"] for item in result.get("answers", ())}
    told = []
    for title, mine in (
        ("checks", [each for each in result["checks"] if each["name"] not in asked]),
        ("answers", [each for each in result["checks"] if each["name"] in asked]),
    ):
        if mine:
            points = sum(each["points"] for each in mine)
            told.append(f"{title} {number(points)} of {sum(each['max_points'] for each in mine)}")
    text = f"The points: {', '.join(told)}"
    if row.mark is None or row.score is None:
        return f"{text}; no mark."
    score, most = result["score"], result["max_score"]
    whole = any(not each.check for each in row.overridden)
    if row.max_score != most and not whole:
        scaled = number(score * row.max_score / most)
        text += f"; {number(score)} of {number(most)} are {scaled} of {number(row.max_score)}"
    decided = "".join(f"; {each.text}" for each in row.overridden)
    why = f"; {row.mark.why}" if row.mark.why else ""
    return f"{text}{decided}{why}. Mark: {number(row.score)} of {number(row.max_score)}."


def due_of(course: Course, row: Row) -> str:
    """When it was due, ``""`` without a date."""
    extended = course.extensions.get((row.student, row.lab))
    due = extended or course.lab(row.lab).due
    return f"{due:%Y-%m-%d %H:%M}{' (extended)' if extended else ''}" if due else ""


def handed_in(course: Course, row: Row, attempt: Attempt) -> str:
    """When it was handed in and when it was due, as far as that is known."""
    when = attempt.when or course.times.get((row.student, row.lab))
    told = f", handed in {when:%Y-%m-%d %H:%M}" if when else ""
    if due := due_of(course, row):
        told += f", due {due}" if when else f", handed in at a time that nobody noted, due {due}"
    return told
