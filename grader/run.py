"""One run of a lab: load, start, apply, drive, judge, report, stop.

The student's files are loaded before anything is started or imported that is heavy, so a file
that does not load answers at once.  Exit codes: 0 the run was sound, whatever the score; 1 the
files do not load; 2 the command cannot be carried out; 3 ungradable; 130 interrupted.
"""

from __future__ import annotations

import secrets
import signal
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape

from grader.answers import Answers, Questions, load_questions, read_answers
from grader.cluster import KUBERNETES, why_not
from grader.fence.limits import FENCES
from grader.lab import ANSWERS, LabDefinition, LabError, find_lab
from grader.report.progress import Progress
from grader.report.terminal import make_console, print_result, print_split
from grader.result import Result
from grader.task import write_diagnosis, write_task
from grader.verdict import Verdict
from grader.workspace import Workspace, missing, open_workspace, reset

if TYPE_CHECKING:
    from mesh.istio.problem import Problem
    from mesh.istio.resource import Resource

EXIT_SOUND, EXIT_FILES, EXIT_USAGE, EXIT_UNGRADABLE, EXIT_INTERRUPTED = 0, 1, 2, 3, 130

ENGINES = ("mitmproxy", "envoy")
RUNTIMES = ("local", "compose")


@dataclass(frozen=True, slots=True)
class Options:
    """How a lab is run; ``work`` is the folder of another's files, ``student`` a student.toml.

    ``own``: the code in the files is the caller's own, or the kit's; ``fence`` is what it runs
    behind (``grader.fence.choose``).  ``workers`` of Locust send the requests; 0: the load driver
    itself.  ``target`` is a cluster's ingress gateway, ``""``: the one that the cluster names.
    """

    engine: str = "mitmproxy"
    runtime: str = "local"
    work: Path | None = None
    solution: bool = False
    keep: bool = False
    student: Path | None = None
    own: bool = False
    workers: int = 0
    fence: str = "auto"
    target: str = ""

    @property
    def fenced(self) -> bool:
        """Whether students' code runs behind a fence or not at all: always but for one's ``own``."""
        return not self.own


class Stop(Exception):  # noqa: N818  not an error of the program
    """Ends a command early: a sentence for the user and an exit code."""

    def __init__(self, text: str, code: int) -> None:
        super().__init__(text)
        self.code = code


def run_lab(
    number: int,
    work: Path | None = None,
    solution: bool = False,
    engine: str = "mitmproxy",
    runtime: str = "local",
    keep: bool = False,
    student: Path | None = None,
    workers: int = 0,
    fence: str = "auto",
    target: str = "",
) -> int:
    """Run lab ``number`` and return the exit code; prints everything, raises nothing."""
    console = make_console()
    own = solution or work is None
    if target and runtime == "local":
        runtime = KUBERNETES
    if runtime == KUBERNETES:
        engine = "envoy"  # Istio's sidecars
    options = Options(engine, runtime, work, solution, keep, student, own, workers, fence, target)
    return guarded(console, lambda: _run(console, number, options))


def reset_lab(number: int) -> int:
    """Restore the starter of lab ``number``; the old files are kept aside."""
    console = make_console()

    def restore() -> int:
        folder, aside = reset(find_lab(number))
        console.print(f"{folder.relative_to(Path.cwd())} is the starter again.", markup=False)
        if aside:
            console.print(f"Your files are in {aside.relative_to(Path.cwd())}.", markup=False)
        return EXIT_SOUND

    return guarded(console, restore)


def guarded(console: Console, action: Callable[[], int]) -> int:
    """Run ``action`` and turn what stops it into one line and an exit code."""
    try:
        with terminated_as_interrupt():
            return action()
    except Stop as stop:
        console.print(escape(str(stop)))
        return stop.code
    except LabError as error:
        console.print(escape(str(error)))
        return EXIT_USAGE
    except PermissionError as error:
        console.print(f"Cannot write {escape(str(error.filename))}: {error.strerror}.")
        return EXIT_USAGE
    except OSError as error:
        console.print(f"{escape(str(error.filename or 'The system'))}: {error.strerror or error}.")
        return EXIT_USAGE
    except KeyboardInterrupt:
        console.print("Interrupted: nothing is left running, the last result is kept.")
        return EXIT_INTERRUPTED


@contextmanager
def mesh_failures() -> Iterator[None]:
    """Let a mesh that fails, or a fence that is not there, stop the command with one sentence."""
    from grader.fence.limits import FenceError
    from mesh.testbed.client import TestbedError

    try:
        yield
    except TestbedError as error:
        raise Stop(f"The mesh failed, so nothing was judged: {error}", EXIT_UNGRADABLE) from error
    except FenceError as error:
        raise Stop(str(error), EXIT_UNGRADABLE) from error


@contextmanager
def terminated_as_interrupt() -> Iterator[None]:
    """Let SIGTERM stop a run as Ctrl-C does: in order, with everything ended."""

    def interrupt(signum: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def undisturbed() -> Iterator[None]:
    """Hold Ctrl-C back while things are being stopped."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def check_options(options: Options, *, cluster: bool = False) -> None:
    """Refuse what cannot be run, in one sentence; ``cluster``: one may be graded on."""
    if options.engine not in ENGINES:
        raise Stop(f"There is no engine {options.engine!r}: mitmproxy or envoy.", EXIT_USAGE)
    if options.fence not in FENCES:
        raise Stop(
            f"There is no fence {options.fence!r}: auto, container or bubblewrap.", EXIT_USAGE
        )
    if options.runtime == KUBERNETES and not cluster:
        raise Stop("A cluster grades one lab at a time: `grade lab N --target URL`.", EXIT_USAGE)
    if options.runtime not in (*RUNTIMES, KUBERNETES):
        raise Stop(
            f"There is no runtime {options.runtime!r}: local, compose or {KUBERNETES}.", EXIT_USAGE
        )
    if options.target and options.runtime != KUBERNETES:
        raise Stop(
            f"--target is a cluster's gateway, and runtime {options.runtime} has its own: leave one "
            "of the two away.",
            EXIT_USAGE,
        )
    if options.work is not None and not options.work.is_dir():
        raise Stop(f"{options.work} is not a folder.", EXIT_USAGE)


def check_engine(lab: LabDefinition, options: Options) -> None:
    """Refuse an engine that the lab does not run on."""
    if options.engine not in lab.engines:
        raise Stop(
            f"Lab {lab.number} runs on {' and '.join(lab.engines)} only; its chapter says why.",
            EXIT_USAGE,
        )


def load_files(console: Console, lab: LabDefinition, space: Workspace) -> tuple[Resource, ...]:
    """Load and validate the files handed in; prints warnings, Stop when there is an error."""
    from mesh.istio.analyze import analyze
    from mesh.istio.eras import era
    from mesh.istio.load import load_paths
    from mesh.istio.problem import has_errors
    from mesh.istio.validate import validate
    from mesh.testbed.load_topology import load_topology

    absent = missing(lab, space)
    if absent:
        raise Stop("\n".join(absent), EXIT_FILES)
    release = era(lab.era)
    loaded = load_paths(space.manifests(lab), era=release, namespace=lab_namespace(lab))
    problems = [*loaded.problems, *validate(loaded.resources, release)]
    if has_errors(problems):
        show_problems(console, problems)
        raise Stop(
            "\nThe files do not load, so nothing was started; the last result is kept.", EXIT_FILES
        )
    # Istio accepts what its analyzers complain about; so does the mesh, and the traffic shows it.
    problems += analyze(loaded.resources, release, load_topology(lab.topology))
    show_problems(console, problems)
    return tuple(loaded.resources)


def show_problems(console: Console, problems: Sequence[Problem]) -> None:
    """Print each problem once, remarks left out, errors and warnings in the order of the files."""
    told: set[str] = set()
    for problem in problems:
        text = str(problem)
        if str(problem.level) != "info" and text not in told:
            console.print(text, markup=False, soft_wrap=True)
            told.add(text)


def lab_namespace(lab: LabDefinition) -> str:
    """The namespace that the lab's services live in."""
    return str(lab.topology.get("namespace", "tutorial"))


def _run(console: Console, number: int, options: Options) -> int:
    begin = time.monotonic()
    check_options(options, cluster=True)
    lab = open_lab(number, options.student)
    check_engine(lab, options)
    if options.runtime == KUBERNETES and (reason := why_not(lab)):
        raise Stop(reason, EXIT_USAGE)
    with solution_for(lab, options.solution) as solution:
        space = open_workspace(lab, work=options.work, solution=solution)
        return _run_in(console, lab, space, options, begin)


def _run_in(
    console: Console, lab: LabDefinition, space: Workspace, options: Options, begin: float
) -> int:
    introduce(console, lab, space, options)
    questions = load_questions(lab)
    if space.own:
        write_task(lab, space.folder, questions)
    resources = load_files(console, lab, space)
    answers = load_answers(console, lab, space, questions)
    runs = Path.cwd() / "runs" / lab.slug
    runs.mkdir(parents=True, exist_ok=True)

    from grader.fence.hand_in import read_code
    from grader.session import Session

    session = Session(
        lab,
        options,
        resources,
        nonce=secrets.token_hex(4),
        answers=answers,
        code=read_code(lab, space.folder),
    )
    keep = False
    try:
        with mesh_failures():
            session.start(Progress(console))
            session.collect(Progress(console))
            result, evidence = session.judge(space.files(lab), time.monotonic() - begin)
        keep = options.keep
    finally:
        with undisturbed():
            session.close(keep=keep)

    from grader.result import save

    folder = save(runs, result, evidence, space.files(lab))
    if space.own and session.shown:
        write_diagnosis(space.folder, session.shown)
    report(console, lab, space, result, dict(evidence.notes.get("share", {}).get("split", {})))
    where = folder.relative_to(Path.cwd())
    note = f"Everything that was recorded: {where}"
    if session.kept and options.runtime == KUBERNETES:
        note += f"\nYour files stay in force in the cluster {session.kept}."
    elif session.kept:
        note += (
            f"\nThe mesh {session.kept} is kept with your files in force, its gateway is "
            f"{session.gateway_url}.\n`.venv/bin/meshctl down` ends it."
        )
    print_result(console, result, note=note)
    return EXIT_UNGRADABLE if result.verdict is Verdict.UNGRADABLE else EXIT_SOUND


def open_lab(number: int, student: Path | None) -> LabDefinition:
    """The lab with the parameters of ``student``, of ``./student.toml``, or for self-study."""
    from grader.student import parameters_for

    lab = find_lab(number)
    return lab.with_set(parameters_for(lab, student))


@contextmanager
def solution_for(lab: LabDefinition, wanted: bool) -> Iterator[Path | None]:
    """The folder of the solution for the lab's parameters while the block runs; None if unwanted."""
    if not wanted:
        yield None
        return
    if not lab.solution.is_dir():
        raise Stop(f"There is no solution of lab {lab.number} in this copy of the kit.", EXIT_USAGE)
    if not lab.set.student:
        yield lab.solution
        return
    from grader.mutants import write_solution

    with tempfile.TemporaryDirectory(prefix="lab-solution-") as folder:
        yield write_solution(lab, Path(folder))


def load_answers(
    console: Console, lab: LabDefinition, space: Workspace, questions: Questions
) -> Answers:
    """Read the answers; what cannot be read is said, and the run goes on without it."""
    answers = read_answers(space.folder / ANSWERS, questions, f"{space.shown}/{ANSWERS}")
    for problem in answers.problems:
        console.print(problem, markup=False, soft_wrap=True)
    return answers


def introduce(console: Console, lab: LabDefinition, space: Workspace, options: Options) -> None:
    """Say what is about to run, with whose parameters, on which files."""
    console.print(
        f"Lab {lab.number}, {escape(lab.title)}: {escape(lab.set.owner)} "
        f"({escape(lab.parameters_text)}).",
        style="bold",
    )
    made = ", made from the starter just now" if space.created else ""
    console.print(
        f"Files: {escape(space.shown)}{made}; {lab.era}; engine {options.engine}, "
        f"runtime {options.runtime}."
    )


def report(
    console: Console, lab: LabDefinition, space: Workspace, result: Result, counts: dict[str, int]
) -> None:
    """Show the split (in a lab without versions there is none), and on the starter the task."""
    if counts or result.verdict is Verdict.FAIL:
        print_split(console, "Who answered", counts)
    if space.untouched:
        console.print(
            "\nThese are the starter's files, untouched: the score below is a starting point."
        )
        console.print(f"Task:      {escape(lab.task)}")
        console.print(f"Files:     {escape(space.shown)}/ ({', '.join(lab.files)})")
        console.print(f"Try first: {escape(lab.first)}")
