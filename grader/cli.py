"""``grade``: run a lab, watch it while you edit, start it over."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from grader.course.cli import register as register_course

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    help="Run the labs of the mesh lab kit and score them from traffic.",
)

Number = Annotated[int, typer.Argument(metavar="N", help="The lab's number.")]
Work = Annotated[
    Path | None, typer.Option("--work", metavar="DIR", help="Judge the files of this folder.")
]
Solution = Annotated[bool, typer.Option("--solution", help="Judge the kit's own solution.")]
Engine = Annotated[str, typer.Option("--engine", help="mitmproxy or envoy.")]
Runtime = Annotated[str, typer.Option("--runtime", help="local, compose or kubernetes.")]
Target = Annotated[
    str,
    typer.Option("--target", metavar="URL", help="A cluster's ingress gateway: grade there."),
]
Student = Annotated[
    Path | None,
    typer.Option("--student", metavar="FILE", help="Use the parameters of this student.toml."),
]
Workers = Annotated[
    int, typer.Option("--workers", min=0, max=64, help="Locust's workers; 0: one process sends.")
]
Fence = Annotated[
    str, typer.Option("--fence", help="Around code handed in: auto, container or bubblewrap.")
]
Keep = Annotated[bool, typer.Option("--keep", help="Leave the mesh running.")]


@app.command("lab")
def lab(
    number: Number,
    solution: Solution = False,
    work: Work = None,
    runtime: Runtime = "local",
    engine: Engine = "mitmproxy",
    keep: Keep = False,
    student: Student = None,
    workers: Workers = 0,
    fence: Fence = "auto",
    target: Target = "",
) -> None:
    """Run lab N on your files: start the mesh, drive traffic, judge it, stop."""
    from grader.run import run_lab

    raise typer.Exit(
        run_lab(number, work, solution, engine, runtime, keep, student, workers, fence, target)
    )


@app.command("watch")
def watch(
    number: Number,
    work: Work = None,
    runtime: Runtime = "local",
    engine: Engine = "mitmproxy",
    student: Student = None,
) -> None:
    """Keep lab N's mesh up, apply your files on every save, show the split live."""
    from grader.watch import watch_lab

    raise typer.Exit(watch_lab(number, work, engine, runtime, student))


@app.command("reset")
def reset(number: Number) -> None:
    """Restore lab N's starter; your files are kept aside in work/lab-NN.old-TIMESTAMP."""
    from grader.run import reset_lab

    raise typer.Exit(reset_lab(number))


@app.command("hint")
def hint(number: Number) -> None:
    """Open the next hint of lab N."""
    from grader.student_commands import hint

    raise typer.Exit(hint(number))


@app.command("progress")
def progress() -> None:
    """Show what was run so far, lab by lab."""
    from grader.student_commands import progress

    raise typer.Exit(progress())


@app.command("submit")
def submit(number: Number) -> None:
    """Pack the files of lab N that are handed in, and print a receipt."""
    from grader.student_commands import submit

    raise typer.Exit(submit(number))


@app.command("handout")
def handout(
    into: Annotated[Path, typer.Argument(metavar="FOLDER", help="Where to write it.")],
    course: Annotated[Path | None, typer.Option("--course", help="The course's folder.")] = None,
    judges: Annotated[bool, typer.Option("--judges", help="Judge answers at once.")] = False,
) -> None:
    """Write the students' tree: no solutions, no mutants, no judges of the answers (staff)."""
    from grader.staff import handout

    raise typer.Exit(handout(into, course, judges))


@app.command("new-lab")
def new_lab(number: Number, name: Annotated[str, typer.Argument(metavar="NAME")]) -> None:
    """Make labs/NN-NAME, a copy of lab 1 to begin with (authors)."""
    from grader.staff import make_lab

    raise typer.Exit(make_lab(number, name))


@app.command("issue")
def issue(
    course: Annotated[Path, typer.Argument(metavar="COURSE", help="A folder with roster.csv.")],
) -> None:
    """Write one signed student.toml for each student of a course (staff)."""
    from grader.staff import issue_course

    raise typer.Exit(issue_course(course))


@app.command("labs")
def labs(
    numbers: Annotated[list[int] | None, typer.Argument(metavar="[N]...")] = None,
    engine: Annotated[str, typer.Option("--engine", help="mitmproxy, envoy or both.")] = "both",
    few: Annotated[bool, typer.Option("--few", help="One mutant a check.")] = False,
) -> None:
    """Judge every lab's solution, starter and mutants, and print the table (authors)."""
    from grader.staff import prove_labs

    engines = ["mitmproxy", "envoy"] if engine == "both" else [engine]
    raise typer.Exit(prove_labs(numbers or [], engines, few))


register_course(app)


def main() -> None:
    """Entry point of ``grade``."""
    app()


if __name__ == "__main__":
    main()
