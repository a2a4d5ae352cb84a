"""What only staff run: issue a course's files."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console

from grader.issue import SECRET, issue
from grader.report.terminal import make_console
from grader.run import EXIT_SOUND, guarded
from grader.student import COURSE_FILE


def issue_course(course: Path) -> int:
    """``grade issue COURSE``: write the files and say where they are."""
    console = make_console()
    return guarded(console, lambda: _issue(console, course))


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
