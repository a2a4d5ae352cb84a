"""A mesh and a load driver that judge one answer after another, for proofs.

``Bench`` starts the mesh once and turns to the next answer by applying it: thousands of verdicts
would otherwise be mostly start-up.  Files that do not load lose everything, as they do for a
student.
"""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from io import StringIO
from pathlib import Path

from rich.console import Console

from grader.evidence.record import Evidence
from grader.lab import ANSWERS, LabDefinition
from grader.proof.variants import REFUSED, canonical
from grader.prove import again
from grader.report.progress import Progress
from grader.result import Result
from grader.run import Options, lab_namespace
from grader.session import Session
from grader.verdict import Verdict
from mesh.istio.eras import era
from mesh.istio.load import load_text
from mesh.istio.problem import has_errors
from mesh.istio.resource import Resource
from mesh.istio.validate import validate


@dataclass(frozen=True, slots=True)
class Judged:
    """What the checks said: those that failed, those that could not be judged, and the time.

    ``why`` has the rationale of both, by name.
    """

    failed: frozenset[str]
    ungradable: frozenset[str]
    seconds: float
    why: Mapping[str, str] = field(default_factory=dict)


class Bench:
    """One lab on one engine; a context manager."""

    def __init__(self, lab: LabDefinition, engine: str, scratch: Path) -> None:
        self._lab = lab
        self._scratch = scratch
        self._silent = Progress(Console(file=StringIO()))
        self._session = Session(lab, Options(engine=engine, own=True), (), nonce="")
        self._known: dict[str, tuple[Result, Evidence]] = {}

    def __enter__(self) -> Bench:
        try:
            self._session.start(self._silent)
        except BaseException:
            self._session.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._session.close()

    def judge(self, files: dict[str, str], *, anew: bool = False) -> Judged:
        """Judge one answer; where only ``answers.yaml`` is new, what was measured serves again.

        ``anew`` measures in any case.
        """
        begin = time.monotonic()
        release = era(self._lab.era)
        resources, problems = [], []
        for name in self._lab.manifests:
            loaded = load_text(files[name], name, era=release, namespace=lab_namespace(self._lab))
            resources += loaded.resources
            problems += loaded.problems
        if has_errors([*problems, *validate(resources, release)]):
            return Judged(frozenset({REFUSED}), frozenset(), time.monotonic() - begin)
        answers = self._scratch / ANSWERS
        answers.write_text(files.get(ANSWERS, ""), encoding="utf-8")
        code = {name: text for name, text in files.items() if name.endswith(".py")}
        form = canonical({name: files[name] for name in self._lab.manifests} | code)
        if anew or form not in self._known:
            self._known[form] = self._measure(tuple(resources), code)
        result = again(self._lab, *self._known[form], answers)
        items = [*result.checks, *(result.answers if ANSWERS in files else ())]
        return Judged(
            frozenset(item.name for item in items if item.verdict is Verdict.FAIL),
            frozenset(item.name for item in items if item.verdict is Verdict.UNGRADABLE),
            time.monotonic() - begin,
            {item.name: item.rationale for item in items if item.verdict is not Verdict.PASS},
        )

    def _measure(
        self, resources: tuple[Resource, ...], code: dict[str, str]
    ) -> tuple[Result, Evidence]:
        self._session.begin(self._lab, resources, nonce=secrets.token_hex(4), code=code)
        self._session.collect(self._silent)
        return self._session.judge([], 0.0)


@contextmanager
def stress(processes: int = 0) -> Iterator[None]:
    """Keep every processor busy while the block runs."""
    count = processes or os.cpu_count() or 1
    burn = "import sys, threading\nthreading.Thread(target=sys.stdin.read).start()\n"
    burn += "while threading.active_count() > 1: sum(range(20000))\n"
    held = [
        subprocess.Popen([sys.executable, "-c", burn], stdin=subprocess.PIPE) for _ in range(count)
    ]
    try:
        yield
    finally:
        for each in held:
            assert each.stdin is not None
            each.stdin.close()
            each.kill()
            each.wait()
