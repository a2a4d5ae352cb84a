"""The queue: as many meshes at once as the machine carries, until every attempt has a verdict.

Each attempt is judged by a process of its own.  What is left to do follows from the store alone,
so a grader that was killed goes on where it was, and nothing is judged twice.  A verdict that was
taken while the machine stalled, or could not be reached, is taken again, alone; what fails alone
three times stays ungradable, with the reason.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from grader.checks import load_checks
from grader.course.attempt import nothing_ran, own_lab
from grader.course.host import STALL, Meter, admits
from grader.course.lost import lost
from grader.course.rescore import ASKED, bring_back, kept_checks
from grader.course.store import Attempt
from grader.verdict import Verdict

TRIES = 3
"""How often an attempt is judged before it stays ungradable."""

LIMIT = 300.0
"""Seconds of wall time for one attempt; a lab takes some ten."""

LOOK = 0.25
"""Seconds between two looks at the children and the load."""

SETTLE = 1.5
"""Seconds after a start before the next one: a mesh that starts is not in the load yet."""

Tell = Callable[["Event"], None]


@dataclass(frozen=True, slots=True)
class Event:
    """Something to show: ``kind`` is done, again or gave-up."""

    kind: str
    attempt: Attempt
    done: int
    total: int
    seconds_left: float
    text: str = ""


@dataclass(slots=True)
class Child:
    """A running judge."""

    attempt: Attempt
    process: subprocess.Popen[bytes]
    begin: float
    alone: bool


@dataclass(slots=True)
class Batch:
    """One run of the queue."""

    engine: str
    runtime: str
    most: int
    tell: Tell
    limit: float = LIMIT
    fence: str = "auto"
    running: list[Child] = field(default_factory=list)
    waiting: list[Attempt] = field(default_factory=list)
    alone: list[Attempt] = field(default_factory=list)
    tries: dict[str, int] = field(default_factory=dict)
    done: int = 0
    total: int = 0
    begin: float = 0.0
    last_start: float = -SETTLE
    peak: int = 0

    def run(self, attempts: Sequence[Attempt]) -> None:
        """Judge all ``attempts`` that have no verdict; KeyboardInterrupt leaves nothing running."""
        for each in attempts:
            sweep(each)
        todo = [each for each in attempts if not each.done]
        self.alone = [each for each in todo if each.discarded]
        self.waiting = [each for each in todo if not each.discarded]
        self.tries = {each.name: failures(each) for each in todo}
        self.total = len(todo)
        self.begin = time.monotonic()
        meter = Meter()
        try:
            while self.waiting or self.alone or self.running:
                self._collect()
                load = meter.look()
                now = time.monotonic()
                settled = now - self.last_start >= SETTLE or not self.running
                if self.waiting and settled and admits(load, len(self.running), self.most):
                    self._start(self.waiting.pop(0), alone=False)
                elif self.alone and not self.waiting and not self.running:
                    self._start(self.alone.pop(0), alone=True)
                if self.running:
                    self._wait()
        finally:
            self._end_all()

    def _wait(self) -> None:
        """Until a child has ended, or for one look."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.running[0].process.wait(LOOK)

    def _start(self, attempt: Attempt, *, alone: bool) -> None:
        with (attempt.folder / "judge.log").open("ab") as log:
            process = subprocess.Popen(
                self.command(attempt),
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self.last_start = time.monotonic()
        self.running.append(Child(attempt, process, self.last_start, alone))
        self.peak = max(self.peak, len(self.running))

    def command(self, attempt: Attempt) -> list[str]:
        """The judge of an attempt, as a command."""
        words = [sys.executable, "-m", "grader.course.attempt", str(attempt.folder)]
        words += ["--engine", self.engine, "--runtime", self.runtime]
        kept = kept_checks(attempt)
        return [*words, "--fence", self.fence, *(("--checks", str(kept)) if kept else ())]

    def _collect(self) -> None:
        for child in list(self.running):
            code = child.process.poll()
            late = time.monotonic() - child.begin > self.limit
            if code is None and not late:
                continue
            self.running.remove(child)
            end(child)
            self._finish(child, code)

    def _finish(self, child: Child, code: int | None) -> None:
        attempt = child.attempt
        why = self._worthless(child, code)
        if not why:
            self._say("done", attempt)
            return
        self.tries[attempt.name] += 1
        if not attempt.done:
            attempt.run.mkdir(exist_ok=True)
        if self.tries[attempt.name] < TRIES:
            attempt.discard(why)
            self.alone.append(attempt)
            self._say("again", attempt, why)
        else:
            give_up(attempt, why, self.engine, self.runtime)
            bring_back(attempt)
            self._say("gave-up", attempt, why)

    def _worthless(self, child: Child, code: int | None) -> str:
        """Why the verdict does not count; ``""`` when it does."""
        attempt = child.attempt
        if not attempt.done:
            if code is None:
                return f"it took longer than {self.limit:.0f} s"
            return last_words(attempt.folder / "judge.log", code)
        result = attempt.result()
        if result["verdict"] == Verdict.UNGRADABLE:
            broken = [item for item in result["checks"] if item["verdict"] == Verdict.UNGRADABLE]
            return str(broken[0]["rationale"]) if broken else "nothing was judged"
        stall = host_of(attempt).get("stall") or {}
        worst = max(stall.get("worst", 0.0), abs(stall.get("jumped", 0.0)))
        return f"the machine stalled for {worst:.1f} s meanwhile" if worst > STALL else ""

    def _say(self, kind: str, attempt: Attempt, text: str = "") -> None:
        self.done += kind != "again"
        spent = time.monotonic() - self.begin
        left = spent / self.done * (self.total - self.done) if self.done else 0.0
        self.tell(Event(kind, attempt, self.done, self.total, left, text))

    def _end_all(self) -> None:
        for child in self.running:
            end(child)
        self.running.clear()


def end(child: Child) -> None:
    """End a judge; closing its lifeline ends its mesh and its load driver with it."""
    if child.process.stdin:
        child.process.stdin.close()
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child.process.pid, signal.SIGKILL)
    child.process.wait()


def failures(attempt: Attempt) -> int:
    """How often judging it has failed; what a person set aside is no failure."""
    whys = [folder / "why.txt" for folder in attempt.discarded]
    return sum(not path.exists() or path.read_text().strip() != ASKED for path in whys)


def sweep(attempt: Attempt) -> None:
    """Remove what a killed judge left half written."""
    for part in attempt.folder.glob(".run.*"):
        shutil.rmtree(part, ignore_errors=True)
    if attempt.run.exists() and not attempt.done:
        attempt.discard("it was not written to its end")


def host_of(attempt: Attempt) -> dict[str, dict[str, float]]:
    """What the run noted about the machine."""
    try:
        found: dict[str, dict[str, float]] = json.loads((attempt.run / "host.json").read_text())
    except OSError:
        return {}
    return found


def last_words(log: Path, code: int) -> str:
    """Why a judge left no result: its last line, and the signal that ended it."""
    said = last_line(log)
    if code >= 0:
        return said or "the judge ended without a result and without a message"
    name = signal.Signals(-code).name
    hint = ", as the kernel does where memory runs out" if -code == signal.SIGKILL else ""
    return f"the judge was ended by {name}{hint}; " + (said or "it left no message")


def last_line(log: Path) -> str:
    """The last line of a log, without a traceback's indentation; ``""`` for none."""
    try:
        lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    return next((line.strip() for line in reversed(lines) if line.strip()), "")


def give_up(attempt: Attempt, why: str, engine: str, runtime: str) -> None:
    """Write the ungradable verdict of an attempt that could not be judged even alone."""
    if attempt.done:
        return  # an ungradable result with all its evidence
    shutil.rmtree(attempt.run, ignore_errors=True)
    lab, kept = own_lab(attempt), kept_checks(attempt)
    help_text = "A person has to look: see judge.log."
    checks = load_checks(kept, lab.folder) if kept else None
    found = lost(lab, why, help_text, checks, Verdict.UNGRADABLE)
    nothing_ran(attempt, lab, found, why, engine, runtime)
