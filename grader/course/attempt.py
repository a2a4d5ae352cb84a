"""One attempt, judged in a process of its own: ``python -m grader.course.attempt FOLDER``.

Reads ``FOLDER/files``, writes ``FOLDER/run`` in one step when everything is in it.  Standard input
is the lifeline: it ends when the grader ends, however that died, and then this process ends, and
with it the mesh and the load driver, which have lifelines of their own.

Exit codes: 0 a verdict stands in ``run``, 3 nothing could be judged (the reason is the last line).
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import time
from dataclasses import asdict, replace
from io import StringIO
from pathlib import Path
from typing import Any

from rich.console import Console

from grader.checks import CheckFile, load_checks
from grader.course.host import StallWatch, facts
from grader.course.lost import Lost, lost
from grader.course.store import Attempt, read_attempt
from grader.evidence.record import Evidence
from grader.lab import ANSWERS, LabDefinition, find_lab
from grader.parameters import ParameterSet
from grader.result import Result, versions
from grader.run import Options, lab_namespace
from mesh.istio.problem import Level, Position, Problem
from services.lifeline import watch

EXIT_JUDGED, EXIT_UNGRADABLE = 0, 3


PARAMETERS = "parameters.json"
OWNER = "the parameters of this student"


def own_lab(attempt: Attempt) -> LabDefinition:
    """The attempt's lab with the parameters of the student, or for self-study without such."""
    lab = find_lab(attempt.lab)
    path = attempt.folder / PARAMETERS
    if not path.exists():
        return lab
    raw = json.loads(path.read_text(encoding="utf-8"))
    return lab.with_set(ParameterSet(raw["values"], attempt.members[0], OWNER, raw["seed"]))


def result_text(result: Result, reason: str) -> str:
    """The content of ``result.json``: the same bytes whenever the same is found."""
    return json.dumps({**result.as_dict(), "reason": reason}, indent=2, ensure_ascii=False) + "\n"


def write_run(
    attempt: Attempt,
    result: Result,
    evidence: Evidence,
    *,
    problems: list[dict[str, object]] | None = None,
    host: dict[str, Any] | None = None,
    reason: str = "",
) -> None:
    """Write ``run``; it appears whole.  ``reason`` is why there was nothing to run."""
    part = attempt.folder / f".run.{os.getpid()}"
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir()
    evidence.save(part)
    for name, data in (
        ("problems.json", problems or []),
        ("host.json", host or {}),
    ):
        text = json.dumps(data, indent=2, ensure_ascii=False)
        (part / name).write_text(text + "\n", encoding="utf-8")
    (part / "result.json").write_text(result_text(result, reason), encoding="utf-8")
    part.rename(attempt.run)


def refuse(
    attempt: Attempt,
    lab: LabDefinition,
    why: str,
    *,
    engine: str,
    runtime: str,
    checks: CheckFile | None = None,
) -> None:
    """Give an attempt that cannot be run its verdict and its reason, without a mesh."""
    help_text = f"Hand in {' and '.join(lab.files)}, as files, or in one folder or zip."
    nothing_ran(attempt, lab, lost(lab, why, help_text, checks), why, engine, runtime)


def nothing_ran(
    attempt: Attempt,
    lab: LabDefinition,
    found: Lost,
    why: str,
    engine: str,
    runtime: str,
    *,
    seconds: float = 0.0,
    problems: list[dict[str, object]] | None = None,
) -> None:
    """Write the run of an attempt of which nothing ran, with the reason."""
    result = Result(
        lab=lab.number,
        seconds=seconds,
        engine=engine,
        runtime=runtime,
        era=lab.era,
        seed=attempt.digest[:8],
        checks=found.checks,
        digest=attempt.digest,
        versions=versions(),
        answers=found.answers,
        student=lab.set.student,
    )
    evidence = Evidence(parameters=dict(lab.parameters))
    write_run(attempt, result, evidence, problems=problems, host=facts(), reason=why)


def unread(text: str) -> Problem:
    """An answer that cannot be read, among the other problems of the files."""
    return Problem("KIT-ANSWERS", Level.WARNING, text, Position(ANSWERS))


def judge_attempt(
    attempt: Attempt,
    engine: str,
    runtime: str,
    fence: str = "auto",
    checks: CheckFile | None = None,
) -> str:
    """Run the lab on the attempt's files; returns why nothing could be judged, ``""`` normally.

    ``checks`` judge what the lab's own probes recorded; without them the lab's own do.
    """
    from mesh.istio.analyze import analyze
    from mesh.istio.eras import era
    from mesh.istio.load import load_paths
    from mesh.istio.problem import has_errors
    from mesh.istio.validate import validate
    from mesh.testbed.load_topology import load_topology

    begin = time.monotonic()
    lab = own_lab(attempt)
    os.chdir(attempt.folder / "files")  # positions then read as the student's names
    release = era(lab.era)
    manifests = [Path(name) for name in lab.manifests]
    loaded = load_paths(manifests, era=release, namespace=lab_namespace(lab))
    problems = [*loaded.problems, *validate(loaded.resources, release)]
    if has_errors(problems):
        first = next(item for item in problems if str(item.level) == "error")
        why = f"the files do not load: {first.position}: {first.message}"
        found = lost(lab, why, first.hint or "Run the lab: it shows every problem.", checks)
        seconds, said = time.monotonic() - begin, [item.as_dict() for item in problems]
        nothing_ran(attempt, lab, found, why, engine, runtime, seconds=seconds, problems=said)
        return ""
    problems += analyze(loaded.resources, release, load_topology(lab.topology))

    from grader.answers import load_questions, read_answers
    from grader.fence.hand_in import read_code
    from grader.fence.limits import FenceError
    from grader.report.progress import Progress
    from grader.session import Session
    from mesh.testbed.client import TestbedError

    silent = Progress(Console(file=StringIO()))
    options = Options(engine=engine, runtime=runtime, fence=fence)
    questions = load_questions(lab)
    answers = read_answers(Path(ANSWERS), questions, ANSWERS)
    session = Session(
        lab,
        options,
        tuple(loaded.resources),
        nonce=attempt.digest[:8],
        answers=answers,
        code=read_code(lab, Path()),
    )
    host = {"before": facts()}
    with StallWatch() as stall:
        try:
            session.start(silent)
            session.collect(silent)
            paths = [Path(name) for name in lab.files]
            result, evidence = session.judge(paths, time.monotonic() - begin, checks=checks)
        except TestbedError as error:
            return f"the mesh failed: {error}"
        except FenceError as error:
            return str(error)
        finally:
            session.close()
    problems += [unread(each) for each in answers.problems]
    host |= {"after": facts(), "stall": asdict(stall.stall)}
    said = [item.as_dict() for item in problems]
    result = replace(result, digest=attempt.digest)
    write_run(attempt, result, evidence, problems=said, host=host)
    return ""


def main() -> int:
    """Judge one attempt."""
    parser = argparse.ArgumentParser(prog="python -m grader.course.attempt", description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--engine", default="mitmproxy")
    parser.add_argument("--runtime", default="local")
    parser.add_argument("--fence", default="auto")
    parser.add_argument("--checks", type=Path, help="checks that a rescore left in the store")
    options = parser.parse_args()
    watch(sys.stdin.fileno())
    attempt = read_attempt(options.folder.resolve())
    folder = find_lab(attempt.lab).folder
    checks = load_checks(options.checks.resolve(), folder) if options.checks else None
    why = judge_attempt(attempt, options.engine, options.runtime, options.fence, checks)
    if why:
        print(why)
        return EXIT_UNGRADABLE
    return EXIT_JUDGED


if __name__ == "__main__":
    sys.exit(main())
