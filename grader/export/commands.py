"""``grade export``: the marks of an OUT folder in another system's form."""

from __future__ import annotations

from pathlib import Path

from grader.course.appeals import opened, say
from grader.course.commands import load_course
from grader.course.grades import Row, rows
from grader.course.roster import CourseError
from grader.export.autograder_zip import write_zip
from grader.export.formats import JSON, TEXT, junit, render
from grader.export.gradescope import run
from grader.export.sheets import fill_canvas, fill_moodle
from grader.lab import LABS, find_lab
from grader.report.terminal import make_console
from grader.run import EXIT_SOUND, guarded
from mesh.state import write_atomic

FORMATS = (*JSON, *TEXT, "junit", "canvas", "moodle")
ENDINGS = {**dict.fromkeys(JSON, ".json"), "autolab": ".txt", "github": ".b64"}


def export(
    name: str,
    lab: int,
    out: Path,
    course_file: Path | None,
    sheet: Path | None,
    assignment: str,
    to: Path | None,
) -> int:
    """Write the marks of one lab; prints where."""
    console = make_console()

    def work() -> int:
        if name not in FORMATS:
            raise CourseError(f"There is no format {name!r}; there are {', '.join(FORMATS)}.")
        course, store = load_course(course_file), opened(out)
        table = rows(store, course, [lab])
        if name in ("canvas", "moodle"):
            if sheet is None:
                raise CourseError(
                    f"Export the gradebook from {name.capitalize()} first, then --sheet FILE."
                )
            text = sheet.read_bytes().decode("utf-8")
            title = assignment or f"Lab {lab}"
            filled = (
                fill_canvas(text, table, course.roster, title)
                if name == "canvas"
                else fill_moodle(text, table, course.roster)
            )
            target = to or out / f"{name}-lab-{lab:02d}.csv"
            target.write_bytes(filled.text.encode())
            say(console, f"{filled.count} marks in {target}")
            if filled.absent:
                say(console, f"Not in the sheet: {', '.join(filled.absent)}")
            return EXIT_SOUND
        found = [(row.student, row.result) for row in table if row.result is not None]
        if name == "junit":
            target = to or out / f"junit-lab-{lab:02d}.xml"
            write_atomic(target, junit(found))
            say(console, f"{len(found)} results in {target}")
            return EXIT_SOUND
        folder = to or out / f"{name}-lab-{lab:02d}"
        folder.mkdir(parents=True, exist_ok=True)
        for row in table:
            if row.result is not None:
                file = folder / f"{safe_name(store.alias(row.student))}{ENDINGS[name]}"
                write_atomic(file, render(name, final(row), course.hidden))
        say(console, f"{len(found)} results in {folder}, by pseudonym (names.csv)")
        return EXIT_SOUND

    return guarded(console, work)


def final(row: Row) -> dict[str, object]:
    """The result with the mark after lateness, which is what a gradebook shows."""
    assert row.result is not None
    reason = row.reason if row.mark and row.mark.why else row.result.get("reason", "")
    if row.score is None or row.mark is None or not row.mark.penalty:
        return {**row.result, "reason": reason}
    whole = row.result["max_score"]
    score = row.score / row.max_score * whole if row.max_score else 0.0
    return {**row.result, "score": round(score, 4), "reason": reason}


def safe_name(text: str) -> str:
    """A file name without anything that a shell or a file system minds."""
    return "".join(sign if sign.isalnum() or sign in "-_." else "_" for sign in text) or "_"


def autograder_zip(lab: int, to: Path, issued: Path | None) -> int:
    """``grade autograder-zip``."""
    console = make_console()

    def work() -> int:
        count = write_zip(LABS.parent, find_lab(lab), to, issued)
        size = to.stat().st_size / 1e6
        say(console, f"{to}: {count} files, {size:.1f} MB. Upload it as the autograder.")
        return EXIT_SOUND

    return guarded(console, work)


def gradescope_run(lab: int, root: Path) -> int:
    """``grade gradescope``: inside Gradescope's container."""
    return guarded(make_console(), lambda: run(lab, root))
