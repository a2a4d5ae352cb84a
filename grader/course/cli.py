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

OUT = Path("runs/course")


def batch(
    number: Number,
    submissions: Submissions,
    out: Out = OUT,
    course: CourseFile = None,
    jobs: Jobs = 0,
    engine: Engine = "mitmproxy",
    runtime: Runtime = "local",
) -> None:
    """Grade everything that was handed in for lab N; run it again to go on after a stop."""
    from grader.course.commands import grade_batch

    raise typer.Exit(grade_batch(number, submissions, out, course, jobs, engine, runtime))


def register(app: typer.Typer) -> None:
    """Add the commands to ``grade``."""
    app.command("batch")(batch)
