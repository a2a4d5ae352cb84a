"""What only staff and lab authors run: issue a course's files, hand out, make and prove labs."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console

from grader.handout import write_handout
from grader.issue import SECRET, issue
from grader.lab import LABS, all_labs, find_lab
from grader.report.terminal import make_console
from grader.run import (
    EXIT_FILES,
    EXIT_SOUND,
    Options,
    check_options,
    guarded,
    mesh_failures,
)
from grader.skeleton import new_lab
from grader.student import COURSE_FILE


def issue_course(course: Path) -> int:
    """``grade issue COURSE``: write the files and say where they are."""
    console = make_console()
    return guarded(console, lambda: _issue(console, course))


def prove_labs(numbers: list[int], engines: list[str], few: bool) -> int:
    """``grade labs``: the table of all answers; exit code 1 when one is judged wrongly."""
    console = make_console()
    return guarded(console, lambda: _prove(console, numbers, engines, few))


def _prove(console: Console, numbers: list[int], engines: list[str], few: bool) -> int:
    from grader.prove import Row, all_cases, few_cases, prove, table

    labs = [find_lab(number) for number in numbers] or list(all_labs())
    rows: list[Row] = []
    for lab in labs:
        for engine in engines:
            check_options(Options(engine=engine))
            if engine not in lab.engines:
                continue
            with mesh_failures():
                for row in prove(lab, engine, few_cases(lab) if few else all_cases(lab)):
                    rows.append(row)
                    console.print(
                        f"lab {row.lab} {row.engine} {row.case.name}: {row.outcome}, "
                        f"{row.fault or 'ok'} ({row.seconds:.1f} s)",
                        markup=False,
                        soft_wrap=True,
                    )
    console.print("\n" + table(rows), markup=False, soft_wrap=True)
    return EXIT_FILES if any(row.fault for row in rows) else EXIT_SOUND


def handout(into: Path, course: Path | None, judges: bool) -> int:
    """``make handout``: write the students' tree."""
    console = make_console()

    def write() -> int:
        count = write_handout(LABS.parent, into, course, judges=judges)
        console.print(
            f"{count} files in {into}, without solutions, mutants and judges.", markup=False
        )
        if course is None:
            console.print("No COURSE= was given: its copies cannot check a student.toml.")
        return EXIT_SOUND

    return guarded(console, write)


def make_lab(number: int, name: str) -> int:
    """``make new-lab``: a folder to begin with."""
    console = make_console()

    def make() -> int:
        folder = new_lab(number, name).relative_to(LABS.parent)
        console.print(f"{folder} is a copy of lab 1: change it as docs/write-a-lab.md says.")
        return EXIT_SOUND

    return guarded(console, make)


def _issue(console: Console, course: Path) -> int:
    done = issue(course)
    lines = [f"{len(done.files)} files were issued: {course / 'students'}/ID/student.toml."]
    if done.new_secret:
        lines.append(f"{course / SECRET} is new: keep a backup, and keep it from the students.")
    lines.append(
        f"{course / COURSE_FILE} goes into the students' tree: make handout COURSE={course}"
    )
    for line in lines:
        console.print(line, markup=False, soft_wrap=True)
    return EXIT_SOUND
