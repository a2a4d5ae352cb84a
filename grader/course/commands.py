"""What the commands of ``grader/course/cli.py`` do; they print, and return exit codes."""

from __future__ import annotations

import time
from pathlib import Path

from rich.console import Console
from rich.markup import escape

from grader.course.batch import Batch, Event
from grader.course.course import Course, read_course
from grader.course.grades import MISSING, Row, number, rows, write_tables
from grader.course.host import most_meshes
from grader.course.intake import Intake, take_in
from grader.course.roster import CourseError
from grader.course.store import Store
from grader.fence.hand_in import prepare
from grader.lab import find_lab
from grader.report.terminal import make_console
from grader.run import EXIT_SOUND, EXIT_UNGRADABLE, Options, check_options, guarded
from grader.verdict import Verdict

DEFAULT_COURSE = Path("course.yaml")


def load_course(path: Path | None) -> Course:
    """The course's rules: those of ``path``, of ./course.yaml, or the default ones."""
    if path is not None:
        return read_course(path)
    return read_course(DEFAULT_COURSE) if DEFAULT_COURSE.exists() else Course()


def grade_batch(
    lab_number: int,
    submissions: Path,
    out: Path,
    course_file: Path | None,
    jobs: int,
    options: Options,
    intake_only: bool = False,
) -> int:
    """``grade batch``: intake, queue, tables; returns 3 when something stayed ungradable."""
    console = make_console()

    def run() -> int:
        check_options(options)
        lab = find_lab(lab_number)
        if not intake_only:
            prepare(lab, options.fence, options.runtime)
        course = load_course(course_file)
        if course.era and course.era != lab.era:
            raise CourseError(
                f"The course is of {course.era}, lab {lab.number} of {lab.era}: its YAML would do "
                "something else."
            )
        store = Store(out)
        with store.lock():
            intake = take_in(
                store, course, lab, submissions, engine=options.engine, runtime=options.runtime
            )
            attempts = store.attempts(lab.number)
            introduce(console, intake, store, sum(not each.done for each in attempts))
            if intake_only:
                write_tables(store, rows(store, course))
                count = sum(not each.refused for each in attempts)
                console.print(f"jobs: {count}")
                return EXIT_SOUND
            begin = time.monotonic()
            show = Show(console, store, course, lab.number)
            work = batch_of(options, jobs or most_meshes(), show)
            try:
                work.run(attempts)
            finally:
                table = rows(store, course, [lab.number])
                write_tables(store, rows(store, course))
            summary(console, table, out, work, time.monotonic() - begin)
        return EXIT_UNGRADABLE if any(row.score is None for row in table) else EXIT_SOUND

    return guarded(console, run)


def batch_of(options: Options, most: int, show: Show) -> Batch:
    """A run of the queue as ``options`` say, with ``most`` meshes at once."""
    return Batch(options.engine, options.runtime, most, show, fence=options.fence)


class Show:
    """Prints a line for each verdict and keeps ``grades.csv`` up to date meanwhile."""

    def __init__(
        self, console: Console, store: Store, course: Course, lab: int, *, tables: bool = True
    ) -> None:
        self.console = console
        self.store = store
        self.course = course
        self.lab = lab
        self.written = 0.0 if tables else float("inf")

    def __call__(self, event: Event) -> None:
        """Show one event."""
        attempt = event.attempt
        who = ", ".join(self.store.students[each].student for each in attempt.members)
        head = f"{event.done}/{event.total} {who}"
        if event.kind == "again":
            self.console.print(
                f" • {escape(head)}: {escape(event.text)}; once more, alone", soft_wrap=True
            )
            return
        result = attempt.result()
        sign = {"pass": "✓", "fail": "✗"}.get(result["verdict"], "•")
        left = f"; {duration(event.seconds_left)} left" if event.done < event.total else ""
        judged = result["verdict"] != Verdict.UNGRADABLE
        score = f"{result['score']}/{result['max_score']}" if judged else "no mark"
        said = f": {event.text}" if event.text else ""
        line = f" {sign} {head} {result['verdict']} {score} ({result['seconds']:.1f} s){said}{left}"
        self.console.print(escape(line), soft_wrap=True)
        if time.monotonic() - self.written > 10:
            write_tables(self.store, rows(self.store, self.course))
            self.written = time.monotonic()


def introduce(console: Console, intake: Intake, store: Store, todo: int) -> None:
    """Say what came in."""
    count = len(intake.attempts)
    refused = sum(bool(each.refused) for each in intake.attempts)
    console.print(
        f"{count} submissions ({intake.platform}), {intake.fresh} of them new, {refused} cannot be "
        f"run; {todo} to judge. Everything is kept in {escape(str(store.out))}.",
        soft_wrap=True,
    )
    for each in (each for each in intake.attempts if each.refused):
        who = ", ".join(store.students[alias].student for alias in each.members)
        console.print(f" • Cannot be run: {escape(f'{who}: {each.refused}')}", soft_wrap=True)
    if intake.strangers:
        names = ", ".join(intake.strangers[:5])
        more = f" and {len(intake.strangers) - 5} more" if len(intake.strangers) > 5 else ""
        console.print(f" • Not in the roster: {escape(names)}{more}", soft_wrap=True)


def summary(console: Console, table: list[Row], out: Path, work: Batch, seconds: float) -> None:
    """The counts, who handed in nothing, what a person has to look at."""
    console.print()
    if work.total:
        rate = work.done / seconds * 3600 if seconds else 0.0
        console.print(
            f"{work.done} judged in {duration(seconds)}, {rate:.0f} an hour, up to {work.peak} "
            "meshes at once."
        )
    absent = [row.student for row in table if row.verdict == MISSING]
    if absent:
        console.print(f"Nothing handed in ({len(absent)}): {escape(', '.join(absent))}")
    for row in table:
        if row.score is None:
            console.print(
                f"No mark: {escape(row.student)}: {escape(row.reason)}; `grade rerun` measures again",
                soft_wrap=True,
            )
    judged = [row for row in table if row.score is not None and row.verdict != MISSING]
    if judged:
        mean = sum(row.score or 0.0 for row in judged) / len(judged)
        console.print(f"{len(judged)} marks, {number(mean)} points on average")
    console.print(f"grades: {escape(str(out / 'grades.csv'))}", style="bold")


def duration(seconds: float) -> str:
    """``40 s``, ``12 min``, ``3 h 20 min``."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"
