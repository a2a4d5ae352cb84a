"""Grading on many machines: a plain job array, each job one attempt, the results merged.

    grade batch 1 SUBMISSIONS --out OUT --intake-only      prints how many jobs there are
    grade judge 1 --out OUT --index I                      I from 0 on; anywhere OUT can be read
    grade merge OUT PART...                                parts that came back from other machines

Any scheduler that can count does: Slurm's arrays, a matrix of GitHub Actions, indexed Jobs of
Kubernetes (docs/run-a-course.md).  An index always means the same attempt, a job that is repeated
does nothing, and no two jobs write the same folder, so a shared file system needs no locks.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path

from grader.course.appeals import opened, say
from grader.course.commands import Show, batch_of, load_course
from grader.course.grades import rows, write_tables
from grader.course.roster import CourseError
from grader.course.store import Attempt, Store
from grader.fence.hand_in import prepare
from grader.lab import find_lab
from grader.report.terminal import make_console
from grader.run import EXIT_SOUND, EXIT_UNGRADABLE, Options, check_options, guarded
from grader.verdict import Verdict


def jobs(store: Store, lab: int) -> list[Attempt]:
    """The attempts of a lab that need a mesh, in the order of the indices."""
    return sorted(
        (each for each in store.attempts(lab) if not each.refused), key=lambda each: each.name
    )


def judge_one(lab: int, index: int, out: Path, course_file: Path | None, options: Options) -> int:
    """``grade judge``: the attempt number ``index``, alone; beyond the last one there is nothing."""
    console = make_console()

    def run() -> int:
        check_options(options)
        store = opened(out)
        known = jobs(store, lab)
        if index >= len(known):
            say(console, f"There is no job {index}; lab {lab} has {len(known)}.")
            return EXIT_SOUND
        prepare(find_lab(lab), options.fence, options.runtime)
        attempt = known[index]
        show = Show(console, store, load_course(course_file), lab, tables=False)
        batch_of(options, 1, show).run([attempt])
        ungradable = attempt.result()["verdict"] == Verdict.UNGRADABLE
        return EXIT_UNGRADABLE if ungradable else EXIT_SOUND

    return guarded(console, run)


def merge(out: Path, parts: Sequence[Path], course_file: Path | None) -> int:
    """``grade merge``: take over the results of ``parts`` and write the tables."""
    console = make_console()

    def run() -> int:
        store, course = opened(out), load_course(course_file)
        with store.lock():
            taken = sum(take_over(store, part) for part in parts)
            table = rows(store, course)
            write_tables(store, table)
        waiting = sum(not each.done for each in store.attempts())
        say(console, f"{taken} results taken over, {waiting} still missing; {out / 'grades.csv'}")
        return EXIT_SOUND

    return guarded(console, run)


def take_over(store: Store, part: Path) -> int:
    """Copy the results of ``part`` that are not here yet; CourseError when it is of another OUT.

    A part is an OUT folder, or what a job sent back of it.  A result that is here stays, unless it
    is ungradable and the other is not.
    """
    if not part.is_dir():
        raise CourseError(f"{part} is not a folder.")
    mine = {each.name: each for each in store.attempts()}
    count = 0
    for found in sorted(part.rglob("run/result.json")):
        folder = found.parent.parent
        attempt = mine.get("/".join(folder.parts[-3:]))
        if attempt is None:
            raise CourseError(f"{folder} belongs to another OUT than {store.out}.")
        other = json.loads(found.read_text(encoding="utf-8"))
        if other["digest"] != attempt.digest:
            raise CourseError(f"{folder} was judged on other files than {attempt.folder} holds.")
        if attempt.done:
            if (
                attempt.result()["verdict"] != Verdict.UNGRADABLE
                or other["verdict"] == Verdict.UNGRADABLE
            ):
                continue
            attempt.discard("another machine could judge it")
        half = attempt.folder / ".run.merge"
        shutil.rmtree(half, ignore_errors=True)
        shutil.copytree(found.parent, half)
        half.rename(attempt.run)
        count += 1
    return count
