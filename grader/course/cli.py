"""``grade batch`` and its relatives: the commands for a whole course."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Number = Annotated[int, typer.Argument(metavar="N", help="The lab's number.")]
Submissions = Annotated[Path, typer.Argument(help="A folder of submissions, or a bulk download.")]
Out = Annotated[Path, typer.Option("--out", metavar="DIR", help="Where everything is kept.")]
CourseFile = Annotated[
    Path | None, typer.Option("--course", metavar="FILE", help="The course's rules (course.yaml).")
]
Jobs = Annotated[int, typer.Option("--jobs", min=0, help="Most meshes at once; 0: by the machine.")]
Engine = Annotated[str, typer.Option("--engine", help="mitmproxy or envoy.")]
Runtime = Annotated[str, typer.Option("--runtime", help="local or compose.")]
Fence = Annotated[
    str, typer.Option("--fence", help="Around code handed in: auto, container or bubblewrap.")
]

StudentId = Annotated[str, typer.Argument(help="The student's id.")]
OneLab = Annotated[int | None, typer.Option("--lab", metavar="N", help="This lab only.")]

OUT = Path("runs/course")


def batch(
    number: Number,
    submissions: Submissions,
    out: Out = OUT,
    course: CourseFile = None,
    jobs: Jobs = 0,
    engine: Engine = "mitmproxy",
    runtime: Runtime = "local",
    intake_only: Annotated[
        bool, typer.Option("--intake-only", help="Take in and count, judge elsewhere.")
    ] = False,
    fence: Fence = "auto",
) -> None:
    """Grade everything that was handed in for lab N; run it again to go on after a stop."""
    from grader.course.commands import grade_batch
    from grader.run import Options

    options = Options(engine, runtime, fence=fence)
    raise typer.Exit(grade_batch(number, submissions, out, course, jobs, options, intake_only))


def judge(
    number: Number,
    index: Annotated[int, typer.Option("--index", min=0, help="The job's number, from 0 on.")],
    out: Out = OUT,
    course: CourseFile = None,
    engine: Engine = "mitmproxy",
    runtime: Runtime = "local",
    fence: Fence = "auto",
) -> None:
    """Judge one attempt of a job array."""
    from grader.course.array import judge_one
    from grader.run import Options

    raise typer.Exit(judge_one(number, index, out, course, Options(engine, runtime, fence=fence)))


def merge(
    out: Annotated[Path, typer.Argument(help="The OUT folder of the intake.")],
    parts: Annotated[list[Path] | None, typer.Argument(help="Folders that came back.")] = None,
    course: CourseFile = None,
) -> None:
    """Take over what a job array judged, and write the tables."""
    from grader.course.array import merge as take

    raise typer.Exit(take(out, parts or [], course))


def similar(out: Out = OUT, lab: OneLab = None) -> None:
    """Report answers to somebody else's task, and files that are too much alike."""
    from grader.course.similar import show_similar

    raise typer.Exit(show_similar(out, lab))


def rescore(
    out: Out = OUT,
    course: CourseFile = None,
    lab: OneLab = None,
    checks: Annotated[
        Path | None, typer.Option("--checks", metavar="FILE", help="Repaired checks (checks.py).")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print only, write nothing.")] = False,
) -> None:
    """Judge the stored evidence again, without traffic; every changed mark is printed first."""
    from grader.course.appeals import rescore_all

    raise typer.Exit(rescore_all(out, course, lab, checks, dry_run))


def rerun(
    student: StudentId,
    out: Out = OUT,
    course: CourseFile = None,
    lab: OneLab = None,
    engine: Engine = "mitmproxy",
    runtime: Runtime = "local",
    fence: Fence = "auto",
) -> None:
    """Measure a student's attempts again, alone; the old verdict is kept aside."""
    from grader.course.appeals import rerun_student
    from grader.run import Options

    options = Options(engine, runtime, fence=fence)
    raise typer.Exit(rerun_student(student, out, course, lab, options))


def explain(
    student: StudentId, out: Out = OUT, course: CourseFile = None, lab: OneLab = None
) -> None:
    """Say how a student's mark came about, with the requests that decided it."""
    from grader.course.explain import explain_student

    raise typer.Exit(explain_student(student, out, course, lab))


def viva(student: StudentId, out: Out = OUT, course: CourseFile = None, lab: OneLab = None) -> None:
    """Ask three questions that only who did the work can answer, from the student's evidence."""
    from grader.course.appeals import viva_student

    raise typer.Exit(viva_student(student, out, course, lab))


def prove(
    lab: OneLab = None,
    engine: Engine = "mitmproxy",
    generated: Annotated[bool, typer.Option(help="Generated mutants as well.")] = True,
) -> None:
    """Run every mutant and every right variant, and write the kill matrix (authors)."""
    from grader.proof.matrix import prove_all

    raise typer.Exit(prove_all(lab, engine, generated))


def prove_flake(
    runs: Annotated[int, typer.Option("--runs", min=1, help="Runs of right answers.")] = 20,
    lab: OneLab = None,
    engine: Annotated[
        str, typer.Option("--engine", help="mitmproxy, envoy or both.")
    ] = "mitmproxy",
    jobs: Annotated[int, typer.Option("--jobs", min=1, help="Labs at the same time.")] = 1,
    anew: Annotated[bool, typer.Option("--anew", help="Forget the runs on disk.")] = False,
) -> None:
    """Repeat right answers, quiet and under CPU stress; run it again to go on after a stop."""
    from grader.proof.flake import FLAKE
    from grader.proof.flake import prove_flake as run

    raise typer.Exit(run(lab, runs, engine, jobs, FLAKE, anew))


def export(
    name: Annotated[str, typer.Argument(metavar="FORMAT", help="canvas, moodle, gradescope, ...")],
    lab: Annotated[int, typer.Option("--lab", metavar="N", help="The lab's number.")],
    out: Out = OUT,
    course: CourseFile = None,
    sheet: Annotated[
        Path | None, typer.Option("--sheet", help="The sheet that the platform exported.")
    ] = None,
    assignment: Annotated[str, typer.Option("--assignment", help="Canvas' column.")] = "",
    to: Annotated[Path | None, typer.Option("--to", help="The file or folder to write.")] = None,
) -> None:
    """Write marks for Canvas, Moodle, Gradescope, PrairieLearn, Autolab, GitHub, JUnit."""
    from grader.export.commands import export as write

    raise typer.Exit(write(name, lab, out, course, sheet, assignment, to))


def autograder_zip(
    number: Number,
    to: Annotated[Path, typer.Option("--to", help="The zip to write.")] = Path("autograder.zip"),
    issued: Annotated[
        Path | None, typer.Option("--issued", help="The folder of `grade issue`.")
    ] = None,
) -> None:
    """Write Gradescope's autograder.zip for lab N."""
    from grader.export.commands import autograder_zip as write

    raise typer.Exit(write(number, to, issued))


def gradescope(
    number: Number,
    root: Annotated[Path, typer.Option("--root", help="Gradescope's folder.")] = Path(
        "/autograder"
    ),
) -> None:
    """Judge Gradescope's submission (runs inside its container)."""
    from grader.export.commands import gradescope_run

    raise typer.Exit(gradescope_run(number, root))


def feedback(out: Out = OUT, course: CourseFile = None, lab: OneLab = None) -> None:
    """Write a page (HTML) and JSON for every student: checks, plots, own lines, hints."""
    from grader.feedback.commands import write_feedback

    raise typer.Exit(write_feedback(out, course, lab))


def register(app: typer.Typer) -> None:
    """Add the commands to ``grade``."""
    for command in (
        batch,
        judge,
        merge,
        similar,
        rescore,
        rerun,
        explain,
        viva,
        feedback,
        prove,
        prove_flake,
        export,
        autograder_zip,
        gradescope,
    ):
        app.command(command.__name__.replace("_", "-"))(command)
