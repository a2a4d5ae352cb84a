"""Checks and probes: how a lab asks its questions.

A **probe** sends traffic and records; a **check** is a pure function of what was recorded.  So a
verdict can be reached again, months later, without a mesh (``judge`` on ``load_evidence``).

    @probe
    def share(lab: Lab) -> None: ...                     # runs in order of definition

    @check(points=4, needs=("share",))
    def share_is_right(evidence: Evidence) -> Outcome:
        \"\"\"Recommendation v2 gets the share that the task asks for.\"\"\"   # the student reads this

What a check needs and a probe could not find out makes the check ungradable.  An **answer** is
judged in the same way (``labs/NN-name/answers.py``), by what the run measured:

    @answer(points=1, needs=("copies",))
    def copies(evidence: Evidence, given: float) -> Outcome: ...   # named as in answers.yaml
"""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from grader.answers import Answers, Question
from grader.evidence.record import Evidence
from grader.evidence.walk import Walk
from grader.verdict import CheckResult, Outcome, Verdict, failed, not_answerable, ungradable

if TYPE_CHECKING:
    from grader.collect import Lab

Judge = Callable[[Evidence], Outcome]
Collector = Callable[["Lab"], None]
JudgeAnswer = Callable[[Evidence, Any], Outcome]


@dataclass(frozen=True, slots=True)
class Check:
    """A question with its points; ``needs`` names the probes it looks at."""

    name: str
    description: str
    points: int
    needs: tuple[str, ...]
    judge: Judge


@dataclass(frozen=True, slots=True)
class Probe:
    """A stretch of traffic; ``title`` is its progress line."""

    name: str
    title: str
    collect: Collector


@dataclass(frozen=True, slots=True)
class AnswerCheck:
    """How one answer is judged; ``name`` is the question's."""

    name: str
    points: int
    needs: tuple[str, ...]
    judge: JudgeAnswer


@dataclass(frozen=True, slots=True)
class CheckFile:
    """A lab's ``checks.py``: its probes and checks in order of definition."""

    probes: tuple[Probe, ...]
    checks: tuple[Check, ...]

    @property
    def max_score(self) -> int:
        """The points of all checks."""
        return sum(item.points for item in self.checks)


def check(*, points: int, needs: tuple[str, ...] = ()) -> Callable[[Judge], Check]:
    """Make a function of the evidence a check; its docstring is what the student sees."""

    def wrap(judge: Judge) -> Check:
        return Check(_name(judge), _sentence(judge), points, needs, judge)

    return wrap


def probe(collect: Collector) -> Probe:
    """Make a function that sends traffic a probe; its docstring is its progress line."""
    return Probe(_name(collect), _sentence(collect).rstrip("."), collect)


def _name(function: Callable[..., object]) -> str:
    return getattr(function, "__name__", "").replace("_", "-")


def _sentence(function: Callable[..., object]) -> str:
    text = (function.__doc__ or "").strip().split("\n\n")[0]
    if not text:
        raise ValueError(f"{_name(function)} needs a docstring: the student reads it")
    return " ".join(text.split())


def answer(*, points: int, needs: tuple[str, ...]) -> Callable[[JudgeAnswer], AnswerCheck]:
    """Make a function of the evidence and the student's answer its judge."""

    def wrap(judge: JudgeAnswer) -> AnswerCheck:
        return AnswerCheck(_name(judge), points, needs, judge)

    return wrap


def load_checks(path: Path, lab: Path | None = None) -> CheckFile:
    """Run a lab's ``checks.py`` (the kit's own file, never a student's) and collect from it.

    It may import modules beside it with a dot (``from .levels import judged``); for one that lies
    elsewhere, ``lab`` is the lab's folder, which has those that it did not bring along.
    ``staff.py`` beside it or in ``lab``, if there, has more probes and checks, which no handout
    contains.
    """
    found: list[object] = [*vars(_load(path, lab)).values()]
    folders = [path.parent, *([lab] if lab is not None else [])]
    hidden = next((f / "staff.py" for f in folders if (f / "staff.py").exists()), None)
    if hidden is not None:
        found += vars(_load(hidden, lab)).values()
    return CheckFile(
        tuple(item for item in found if isinstance(item, Probe)),
        tuple(item for item in found if isinstance(item, Check)),
    )


def load_walks(path: Path, evidence: Evidence) -> dict[str, Walk]:
    """The sequential tests behind a lab's checks, by check; none when it does not say, or cannot."""
    function = getattr(_load(path), "walks", None)
    if function is None:
        return {}
    try:
        found: dict[str, Walk] = function(evidence)
    except Exception:
        return {}  # evidence of a run that measured nothing
    return found


def load_answer_checks(folder: Path) -> tuple[AnswerCheck, ...]:
    """The judges of a lab's answers; none in a handout, where the staff judges them."""
    path = folder / "answers.py"
    if not path.exists():
        return ()
    return tuple(item for item in vars(_load(path)).values() if isinstance(item, AnswerCheck))


def imported(path: Path, lab: Path) -> list[Path]:
    """The modules that a ``checks.py`` imports with a dot: beside it, or the lab's own."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    dotted = [each for each in ast.walk(tree) if isinstance(each, ast.ImportFrom) and each.level]
    names = {f"{each.module}.py" for each in dotted}
    beside = [path.with_name(name) for name in sorted(names)]
    return [each if each.exists() else lab / each.name for each in beside]


def _load(path: Path, lab: Path | None = None) -> ModuleType:
    folders = [str(folder.resolve()) for folder in (path.parent, lab) if folder is not None]
    package = f"lab_{hashlib.sha256(os.fsencode(os.pathsep.join(folders))).hexdigest()[:12]}"
    # The package that a dot stands for is the folder, of which no two are mixed up.
    sys.modules.setdefault(package, ModuleType(package)).__path__ = folders
    spec = importlib.util.spec_from_file_location(f"{package}.{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def judge(checks: tuple[Check, ...], evidence: Evidence) -> tuple[CheckResult, ...]:
    """Judge recorded evidence; a check that stumbles over it is ungradable, never a zero."""
    return tuple(
        _result(item, item.description, _outcome(item.needs, evidence, _bind(item, evidence)))
        for item in checks
    )


def _bind(item: Check, evidence: Evidence) -> Callable[[], Outcome]:
    return lambda: item.judge(evidence)


def judge_answers(
    checks: tuple[AnswerCheck, ...],
    questions: Sequence[Question],
    answers: Answers,
    evidence: Evidence,
) -> tuple[CheckResult, ...]:
    """Judge the answers in the order of the questions; one that is not given earns nothing."""
    by_name = {item.name: item for item in checks}
    return tuple(
        _judge_answer(by_name[question.name], question, answers, evidence)
        for question in questions
        if question.name in by_name
    )


def _judge_answer(
    item: AnswerCheck, question: Question, answers: Answers, evidence: Evidence
) -> CheckResult:
    given = answers.given.get(question.name)
    if given is None:
        help_text = "Write it into answers.yaml, before you look at what the traffic did."
        return _result(item, question.text, failed("Not answered yet.", help=help_text))
    outcome = _outcome(item.needs, evidence, lambda: item.judge(evidence, given))
    return _result(item, f"{question.text} Your answer: {given}", outcome)


def _outcome(needs: tuple[str, ...], evidence: Evidence, judge: Callable[[], Outcome]) -> Outcome:
    broken = [name for name in needs if "error" in evidence.notes.get(name, {})]
    missing = [name for name in needs if name not in evidence.notes]
    if broken and evidence.notes[broken[0]].get("not_offered"):
        return not_answerable(str(evidence.notes[broken[0]]["error"]))
    if broken:
        return ungradable(str(evidence.notes[broken[0]]["error"]))
    if missing:
        return ungradable(f"the probe {missing[0]} was not run")
    try:
        return judge()
    except Exception as error:
        return ungradable(f"the check itself broke ({type(error).__name__}: {error})")


def _result(item: Check | AnswerCheck, description: str, outcome: Outcome) -> CheckResult:
    return CheckResult(
        name=item.name,
        description=description,
        verdict=outcome.verdict,
        points=item.points if outcome.verdict is Verdict.PASS else int(item.points * outcome.part),
        max_points=item.points,
        rationale=outcome.rationale,
        help=outcome.help,
        evidence=outcome.evidence,
    )
