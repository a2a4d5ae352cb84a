"""The commands for when somebody asks: ``rescore``, ``rerun`` and ``viva``."""

from __future__ import annotations

import json
import random
from pathlib import Path

from rich.console import Console

from grader.course.commands import Show, batch_of, load_course
from grader.course.course import Course
from grader.course.grades import Row, number, rows, safe, write_tables, written
from grader.course.rescore import Rescored, checks_of, rescore, set_aside, write
from grader.course.roster import CourseError
from grader.course.store import Attempt, Store
from grader.course.story import viva
from grader.evidence.record import load_evidence
from grader.fence.hand_in import prepare
from grader.lab import find_lab
from grader.report.terminal import make_console
from grader.run import EXIT_SOUND, EXIT_UNGRADABLE, Options, check_options, guarded


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
    options: Options,
) -> int:
    """``grade rerun STUDENT``."""
    console = make_console()

    def run() -> int:
        check_options(options)
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
                prepare(find_lab(number_of_lab), options.fence, options.runtime)
            for each in attempts:
                set_aside(each)
            show = Show(console, store, course, attempts[0].lab)
            batch_of(options, 1, show).run(attempts)
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


def next_step(row: Row, attempt: Attempt) -> str:
    """Where to look, and which command does something about it."""
    if row.score is None:
        log = attempt.folder / "judge.log"
        return f"The judge's own words are in {log}; `grade rerun {row.student}` measures again."
    if attempt.refused:
        return f"What could be read of it is in {attempt.folder / 'files'}."
    return f"Look it up in {attempt.run}; `grade rescore` judges it again."


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
