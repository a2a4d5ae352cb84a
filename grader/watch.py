"""``make watch-N``: the mesh stays up, every save is applied, the split is shown live."""

from __future__ import annotations

import secrets
from collections import deque
from collections.abc import Callable
from pathlib import Path

from rich.console import Console
from rich.text import Text

from grader.answers import load_questions
from grader.evidence.traffic import split
from grader.lab import ANSWERS, LabDefinition
from grader.load.observation import Observation
from grader.load.plan import Plan
from grader.load.run import Driver
from grader.report.progress import Progress
from grader.report.terminal import make_console, split_bar
from grader.run import (
    EXIT_INTERRUPTED,
    Options,
    Stop,
    check_engine,
    check_options,
    guarded,
    introduce,
    load_files,
    open_lab,
    undisturbed,
)
from grader.task import write_task
from grader.workspace import Workspace, open_workspace

WINDOW = 200
"""How many of the last requests the bar shows."""
PATIENCE = 1.0
"""Seconds that a request is waited for: a save must be noticed while every request is delayed."""


def watch_lab(
    number: int, work: Path | None, engine: str, runtime: str, student: Path | None = None
) -> int:
    """Watch lab ``number`` until Ctrl-C (exit 0); 1 when the files do not load at the start."""
    console = make_console()
    options = Options(engine, runtime, work, student=student, own=work is None)
    code = guarded(console, lambda: _watch(console, number, options))
    return 0 if code == EXIT_INTERRUPTED else code


def _watch(console: Console, number: int, options: Options) -> int:
    check_options(options)
    lab = open_lab(number, options.student)
    check_engine(lab, options)
    space = open_workspace(lab, work=options.work)
    introduce(console, lab, space, options)
    if space.own:
        write_task(lab, space.folder, load_questions(lab))
    resources = load_files(console, lab, space)

    from watchfiles import watch

    from grader.fence.hand_in import read_code
    from grader.session import Session

    session = Session(
        lab, options, resources, nonce=secrets.token_hex(4), code=read_code(lab, space.folder)
    )
    try:
        session.start(Progress(console))
        assert session.lab is not None
        session.lab.apply_student()
        console.print(f"Save a file in {space.shown} to apply it; Ctrl-C ends.", markup=False)
        view = View(console, session.lab.driver, session.gateway_url)
        changes = watch(
            space.folder,
            debounce=100,
            rust_timeout=250,
            yield_on_timeout=True,
            raise_interrupt=True,
        )
        for changed in changes:
            names = sorted({Path(path).name for _, path in changed} & set(lab.files) - {ANSWERS})
            if any(name.endswith(".py") for name in names):
                session.lab.put_code(read_code(lab, space.folder))
            if names and apply_again(console, lab, space, session.lab.testbed.apply):
                console.print(f" ✓ {', '.join(names)} in force", markup=False)
                view.forget()
            view.refresh()
    finally:
        with undisturbed():
            session.close()
    return 0


def apply_again(
    console: Console, lab: LabDefinition, space: Workspace, apply: Callable[..., object]
) -> bool:
    """Load and apply what was saved; False when it does not load or the mesh refuses it."""
    from mesh.testbed.client import TestbedError

    try:
        apply(load_files(console, lab, space))
    except Stop:
        console.print(" ✗ not applied: the files do not load, the mesh keeps what it had")
        return False
    except TestbedError as error:
        console.print(f" ✗ not applied: {error}", markup=False)
        return False
    return True


class View:
    """The split of the last requests: a line that changes on a terminal, a new line elsewhere."""

    def __init__(self, console: Console, driver: Driver, host: str) -> None:
        self._console = console
        self._driver = driver
        self._host = host
        self._seen: deque[Observation] = deque(maxlen=WINDOW)
        self._last = ""
        self._round = 0

    def forget(self) -> None:
        """Start the window anew: the configuration is another one."""
        self._seen.clear()

    def refresh(self) -> None:
        """Send a few requests and show the split."""
        self._round += 1
        plan = Plan(f"watch{self._round}", self._host, 10, batch=10, users=2, give_up=PATIENCE)
        self._seen.extend(self._driver.run(plan, lambda _: False))
        line = self._line()
        if self._console.is_terminal:
            self._console.print(" " * (self._console.width - 1), end="\r")
            self._console.print(line, end="\r", no_wrap=True, overflow="crop")
        elif line.plain != self._last:
            self._console.print(line)
        self._last = line.plain

    def _line(self) -> Text:
        counts = split(list(self._seen))
        slow = sum(1 for item in self._seen if item.slow)
        failed = sum(1 for item in self._seen if item.status != 200 and not item.slow)
        line = split_bar(counts) if counts else Text("no version answered")
        if failed:
            line.append(f"   {failed} of {len(self._seen)} failed", style="red")
        if slow:
            line.append(f"   {slow} of {len(self._seen)} took more than {PATIENCE:.0f} s")
        return line
