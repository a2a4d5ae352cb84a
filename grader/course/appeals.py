"""The commands for when somebody asks: ``rescore``, ``rerun``, ``explain`` and ``viva``."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

from rich.console import Console

from grader.course.attempt import own_lab
from grader.course.batch import Batch
from grader.course.commands import Show, load_course
from grader.course.course import Course
from grader.course.grades import Row, number, rows, safe, write_tables, written
from grader.course.rescore import Rescored, checks_of, rescore, set_aside, write
from grader.course.roster import CourseError
from grader.course.store import Attempt, Store
from grader.course.story import deciding, diagnosed, sentence, viva
from grader.evidence.record import load_evidence
from grader.fence.hand_in import prepare
from grader.lab import find_lab
from grader.report.terminal import make_console
from grader.run import EXIT_SOUND, EXIT_UNGRADABLE, Options, check_options, guarded

SEQUENTIAL = (
    "A check of chance looks at one request after another and stops where it is sure: its evidence "
    "may count fewer than were sent."
)


def say(console: Console, text: str) -> None:
    """Print a line as it is: names and YAML are no markup."""
    console.print(text, markup=False, soft_wrap=True)


def rescore_all(
    out: Path, course_file: Path | None, lab: int | None, new: Path | None, dry_run: bool
) -> int:
    """``grade rescore``."""
    console = make_console()

    def run() -> int:
        course, store = load_course(course_file), opened(out)
        if new is not None and lab is None and len(store.labs()) > 1:
            raise CourseError("Say which lab the new checks are for: --lab N.")
        with store.lock():
            before = written(store)
            found: list[Rescored] = []
            for number_of_lab in store.labs() if lab is None else [lab]:
                checks = checks_of(store, find_lab(number_of_lab), new)
                done = [each for each in store.attempts(number_of_lab) if each.done]
                found += [rescore(each, checks) for each in done]
            show_changes(console, store, found)
            fresh = {each.attempt.name: json.loads(each.text) for each in found}
            after = rows(store, course, instead=fresh)
            show_marks(console, before, after)
            if all(each.identical for each in found):
                say(console, f"{len(found)} results, each the same byte for byte.")
            if dry_run:
                say(console, "Nothing was written (--dry-run).")
                return EXIT_SOUND
            write(store, found, new)
            write_tables(store, after)
        return EXIT_SOUND

    return guarded(console, run)


def show_changes(console: Console, store: Store, found: list[Rescored]) -> None:
    """Print every check that comes out differently, by lab and student."""
    lines = []
    for change in (change for each in found for change in each.changes):
        who = ", ".join(store.students[each].student for each in change.attempt.members)
        text = f"{who}, lab {change.attempt.lab}, {change.check}: {change.old} -> {change.new}"
        lines.append((change.attempt.lab, who, text))
    for _, _, text in sorted(lines, key=lambda line: line[:2]):
        say(console, text)


def show_marks(console: Console, before: dict[tuple[str, int], str], after: list[Row]) -> None:
    """Print the marks that are others than in ``grades.csv``, where ``before`` is from."""
    for row in after:
        then = before.get((str(safe(row.student)), row.lab))
        if then is not None and then != number(row.score):
            say(
                console,
                f"{row.student}, lab {row.lab}: {then or 'no mark'} -> "
                f"{number(row.score) or 'no mark'} of {number(row.max_score)} points",
            )


def rerun_student(
    student: str,
    out: Path,
    course_file: Path | None,
    lab: int | None,
    engine: str,
    runtime: str,
    fence: str = "auto",
) -> int:
    """``grade rerun STUDENT``."""
    console = make_console()

    def run() -> int:
        check_options(Options(engine, runtime, fence=fence))
        course, store = load_course(course_file), opened(out)
        with store.lock():
            before = written(store)
            alias = known(store, student)
            attempts = [
                each for each in store.attempts(lab) if alias in each.members and not each.refused
            ]
            if not attempts:
                raise CourseError(f"{student} has handed in nothing that can be run.")
            for number_of_lab in {each.lab for each in attempts}:
                prepare(find_lab(number_of_lab), fence, runtime)
            for each in attempts:
                set_aside(each)
            show = Show(console, store, course, attempts[0].lab)
            Batch(engine, runtime, 1, show, fence=fence).run(attempts)
            after = rows(store, course)
            write_tables(store, after)
            show_marks(console, before, after)
        mine = [row for row in after if row.student == student]
        return EXIT_UNGRADABLE if any(row.score is None for row in mine) else EXIT_SOUND

    return guarded(console, run)


def opened(out: Path) -> Store:
    """The store of an OUT folder that is there."""
    store = Store(out)
    if not store.students:
        raise CourseError(f"{out} holds no results; --out names the folder of a batch.")
    return store


def known(store: Store, student: str) -> str:
    """The pseudonym of a student; CourseError for somebody unknown."""
    alias = store.alias(student)
    if not alias:
        raise CourseError(f"Nobody called {student!r} is in {store.out}/names.csv.")
    return alias


def rows_of(store: Store, course: Course, student: str, lab: int | None) -> list[Row]:
    """The rows of one student."""
    known(store, student)
    labs = store.labs() if lab is None else [lab]
    return [row for row in rows(store, course, labs) if row.student == student]


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


def next_step(row: Row, attempt: Attempt) -> str:
    """Where to look, and which command does something about it."""
    if row.score is None:
        log = attempt.folder / "judge.log"
        return f"The judge's own words are in {log}; `grade rerun {row.student}` measures again."
    if attempt.refused:
        return f"What could be read of it is in {attempt.folder / 'files'}."
    return f"Look it up in {attempt.run}; `grade rescore` judges it again."


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


def viva_student(student: str, out: Path, course_file: Path | None, lab: int | None) -> int:
    """``grade viva STUDENT``."""
    console = make_console()

    def run() -> int:
        course, store = load_course(course_file), opened(out)
        asked = 0
        for row in rows_of(store, course, student, lab):
            if row.attempt is None or row.result is None:
                continue
            say(console, f"{student}, lab {row.lab}")
            if row.attempt.refused or row.score is None:
                say(console, f"  Nothing ran: {row.reason}. {next_step(row, row.attempt)}")
                continue
            evidence = load_evidence(row.attempt.run)
            rng = random.Random(row.attempt.digest)  # the same questions whoever asks again
            files = row.attempt.folder / "files"
            for count, item in enumerate(viva(evidence, row.result, files, rng), start=1):
                say(console, f"  {count}. {item.question}")
                say(console, f"     expect: {item.expect}")
                asked += 1
        if not asked:
            raise CourseError(f"{student} has no judged attempt to ask about.")
        return EXIT_SOUND

    return guarded(console, run)
