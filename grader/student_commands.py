"""The small commands of a student: the next hint, the overview, packing what is handed in."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console
from rich.table import Table

from grader.hints import open_next
from grader.lab import ANSWERS, all_labs
from grader.overview import HEAD, standing
from grader.report.terminal import make_console
from grader.run import EXIT_SOUND, guarded, open_lab
from grader.submit import FOLDER, pack
from grader.task import write_task
from grader.workspace import open_workspace


def hint(number: int) -> int:
    """``make hint-N``: open one more hint, show all that are open."""
    console = make_console()
    return guarded(console, lambda: _hint(console, number))


def _hint(console: Console, number: int) -> int:
    lab = open_lab(number, None)
    space = open_workspace(lab, work=None)
    hints, total = open_next(lab, space.folder)
    for index, item in enumerate(hints, start=1):
        console.print(f"Hint {index} of {total}: {item.title}", style="bold", markup=False)
        console.print(item.text + "\n", markup=False)
    if not total:
        console.print(f"Lab {number} has no hints.")
    elif len(hints) < total:
        console.print(f"`make hint-{number}` opens the next one.", markup=False)
    else:
        console.print("These are all hints there are.")
    return EXIT_SOUND


def progress() -> int:
    """``make progress``: one line a lab."""
    console = make_console()

    def show() -> int:
        table = Table(*HEAD, box=None, pad_edge=False)
        for lab in all_labs():
            table.add_row(*standing(lab, Path.cwd()).cells)
        console.print(table)
        return EXIT_SOUND

    return guarded(console, show)


def submit(number: int) -> int:
    """``make submit-N``: pack, show what was packed, print the receipt."""
    console = make_console()
    return guarded(console, lambda: _submit(console, number))


def _submit(console: Console, number: int) -> int:
    from grader.answers import load_questions, read_answers

    lab = open_lab(number, None)
    space = open_workspace(lab, work=None)
    questions = load_questions(lab)
    write_task(lab, space.folder, questions)
    packed = pack(lab, space, Path.cwd() / FOLDER)
    console.print(f"Lab {number}, {lab.title}: {lab.set.owner}.", style="bold", markup=False)
    for name, size in packed.members:
        console.print(f"  {name} ({size} bytes)", markup=False)
    if space.untouched:
        console.print("These are the starter's files, untouched.")
    found = read_answers(space.folder / ANSWERS, questions, f"{space.shown}/{ANSWERS}")
    for problem in found.problems:
        console.print(problem, markup=False, soft_wrap=True)
    if questions.all:
        console.print(f"{len(found.given)} of {len(questions.all)} answers are written down.")
    where = packed.archive.relative_to(Path.cwd())
    console.print(f"Packed into {where}; hand in this file.", markup=False)
    console.print(f"receipt: {lab.slug} {packed.receipt}", style="bold", markup=False)
    return EXIT_SOUND
