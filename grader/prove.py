"""Proves a lab: its solution, its starter and every mutant, judged on a real mesh.

A grader is a classifier, and this counts its errors: every wrong answer must lose exactly the
checks it names, every right one, however written, must lose none.  One mesh serves all answers to
a lab, so a whole lab takes a minute or two.

``make labs`` prints the table for all labs and both engines; ``grade labs N`` one lab's.
"""

from __future__ import annotations

import io
import secrets
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from rich.console import Console

from grader.answers import load_questions, read_answers
from grader.checks import judge_answers, load_answer_checks
from grader.diagnosis import PROBE
from grader.evidence.record import Evidence
from grader.fence.hand_in import read_code
from grader.lab import ANSWERS, LabDefinition
from grader.mutants import Mutant, load_mutants, starter_points
from grader.report.progress import Progress
from grader.result import Result
from grader.run import Options, Stop, load_files
from grader.session import Session
from grader.verdict import Verdict
from grader.workspace import Workspace

SOLUTION, STARTER = "solution", "starter"
OWN = ("predicted", PROBE)
"""Probes on the grader's own configuration: the student's files have no part in them, so once is
enough for all answers to a lab on one mesh."""


@dataclass(frozen=True, slots=True)
class Case:
    """One set of files and what must come of it."""

    name: str
    kind: str
    mutant: Mutant | None = None

    @property
    def only_answers(self) -> bool:
        """Its YAML is the solution's: nothing has to be run again."""
        return self.mutant is not None and {edit[0] for edit in self.mutant.edits} == {ANSWERS}

    def write(self, lab: LabDefinition, folder: Path) -> Path:
        """The folder with the files; mutants are written into ``folder``."""
        if self.mutant is not None:
            return self.mutant.write(lab, folder)
        return lab.solution if self.name == SOLUTION else lab.start


@dataclass(frozen=True, slots=True)
class Row:
    """What came of a case; ``fault`` is ``""`` when it is what must come of it."""

    lab: int
    engine: str
    case: Case
    seconds: float
    outcome: str
    fault: str = ""


def all_cases(lab: LabDefinition) -> tuple[Case, ...]:
    """Solution, starter, wrong answers, right variants."""
    mutants = load_mutants(lab)
    return (
        Case(SOLUTION, "right"),
        Case(STARTER, "starter"),
        *(Case(item.name, "right" if item.right else "wrong", item) for item in mutants),
    )


def few_cases(lab: LabDefinition) -> tuple[Case, ...]:
    """Solution, starter, and as few mutants as touch every check once."""
    left = {name for item in load_mutants(lab) for name in item.lose}
    chosen = []
    for case in sorted(all_cases(lab)[2:], key=lambda each: -len(_lose(each))):
        if new := left & _lose(case):
            left -= new
            chosen.append(case)
    return (*all_cases(lab)[:2], *chosen)


def _lose(case: Case) -> frozenset[str]:
    return case.mutant.lose if case.mutant else frozenset()


def prove(lab: LabDefinition, engine: str, cases: Iterable[Case]) -> Iterator[Row]:
    """Judge ``cases`` one after another on one mesh; TestbedError when it does not start."""
    quiet = Progress(Console(file=io.StringIO()))
    options = Options(engine=engine, own=True)
    session = Session(lab, options, (), nonce=secrets.token_hex(4))
    solved: tuple[Result, Evidence] | None = None
    try:
        session.start(quiet)
        for case in cases:
            begin = time.monotonic()
            with tempfile.TemporaryDirectory(prefix="lab-prove-") as folder:
                files = case.write(lab, Path(folder) / "files")
                if solved and case.only_answers:
                    result = again(lab, *solved, files / ANSWERS)
                    outcome, fault = result.outcome, fault_of(lab, case, result)
                else:
                    before = solved[1] if solved else None
                    outcome, fault, judged = _judge(session, lab, case, files, quiet, before)
                    solved = judged if case.name == SOLUTION else solved
            yield Row(lab.number, engine, case, time.monotonic() - begin, outcome, fault)
    finally:
        session.close()


def again(lab: LabDefinition, result: Result, evidence: Evidence, answers: Path) -> Result:
    """The same run with other answers: they are judged on what it recorded."""
    questions = load_questions(lab)
    found = read_answers(answers, questions, ANSWERS)
    judged = judge_answers(load_answer_checks(lab.folder), questions.all, found, evidence)
    return replace(result, answers=judged)


def _judge(
    session: Session,
    lab: LabDefinition,
    case: Case,
    folder: Path,
    quiet: Progress,
    before: Evidence | None,
) -> tuple[str, str, tuple[Result, Evidence] | None]:
    """What came of the files in ``folder``, and what is wrong with that."""
    said = Console(file=io.StringIO(), width=200)
    space = Workspace(folder, False, False)
    refused = case.mutant is not None and case.mutant.refused
    try:
        student = load_files(said, lab, space)
    except Stop:
        assert isinstance(said.file, io.StringIO)
        text = said.file.getvalue().strip().splitlines()[0]
        return "refused", "" if refused else f"the files do not load: {text}", None
    if refused:
        return "loaded", "the files should be refused", None
    answers = read_answers(folder / ANSWERS, load_questions(lab), ANSWERS)
    session.begin(
        lab,
        student,
        nonce=secrets.token_hex(4),
        answers=answers,
        code=read_code(lab, folder),
    )
    session.collect(quiet, skip=OWN if before else ())
    judged = session.judge(space.files(lab), 0.0, before)
    return judged[0].outcome, fault_of(lab, case, judged[0]), judged


def fault_of(lab: LabDefinition, case: Case, result: Result) -> str:
    """What is wrong with a result, in one sentence; ``""`` when it is as it must be."""
    judged = (*result.checks, *(() if case.name == STARTER else result.answers))
    broken = [
        f"{item.name}: {item.rationale}" for item in judged if item.verdict is Verdict.UNGRADABLE
    ]
    if broken:
        return f"ungradable: {broken[0]}"
    failed = {item.name for item in judged if item.verdict is Verdict.FAIL}
    if case.name == STARTER:
        wanted = starter_points(lab)
        return "" if result.score == wanted else f"the starter should get {wanted} points"
    lose = case.mutant.lose if case.mutant else frozenset()
    may = case.mutant.may_lose if case.mutant else frozenset()
    if missed := sorted(lose - failed):
        return f"not caught by {', '.join(missed)}"
    if false := [item for item in judged if item.name in failed - lose - may]:
        return f"wrongly failed {false[0].name}: {false[0].rationale}"
    return ""


def table(rows: Sequence[Row]) -> str:
    """The rows as a Markdown table with totals, as ``make labs`` prints it."""
    lines = [
        "| lab | engine | answer | kind | outcome | seconds | |",
        "|---|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {row.lab} | {row.engine} | {row.case.name} | {row.case.kind} | {row.outcome} "
        f"| {row.seconds:.1f} | {row.fault or 'ok'} |"
        for row in rows
    ]
    wrong = [row for row in rows if row.case.kind == "wrong"]
    right = [row for row in rows if row.case.kind == "right"]
    lines += [
        "",
        f"{sum(not row.fault for row in wrong)} of {len(wrong)} wrong answers caught, "
        f"{sum(not row.fault for row in right)} of {len(right)} right ones passed, "
        f"{sum(row.seconds for row in rows):.0f} s.",
    ]
    return "\n".join(lines)
