"""Checks and probes: how a lab asks its questions.

A **probe** sends traffic and records; a **check** is a pure function of what was recorded.  So a
verdict can be reached again, months later, without a mesh (``judge`` on ``load_evidence``).

    @probe
    def share(lab: Lab) -> None: ...                     # runs in order of definition

    @check(points=4, needs=("share",))
    def share_is_right(evidence: Evidence) -> Outcome:
        \"\"\"Recommendation v2 gets the share that the task asks for.\"\"\"   # the student reads this

What a check needs and a probe could not find out makes the check ungradable.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from grader.evidence.record import Evidence
from grader.verdict import CheckResult, Outcome, Verdict, ungradable

if TYPE_CHECKING:
    from grader.collect import Lab

Judge = Callable[[Evidence], Outcome]
Collector = Callable[["Lab"], None]


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


def load_checks(path: Path) -> CheckFile:
    """Run a lab's ``checks.py`` (the kit's own file, never a student's) and collect from it."""
    spec = importlib.util.spec_from_file_location(f"lab_checks_{path.parent.name[:2]}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    found = list(vars(module).values())
    return CheckFile(
        tuple(item for item in found if isinstance(item, Probe)),
        tuple(item for item in found if isinstance(item, Check)),
    )


def judge(checks: tuple[Check, ...], evidence: Evidence) -> tuple[CheckResult, ...]:
    """Judge recorded evidence; a check that stumbles over it is ungradable, never a zero."""
    return tuple(_judge_one(item, evidence) for item in checks)


def _judge_one(item: Check, evidence: Evidence) -> CheckResult:
    broken = [name for name in item.needs if "error" in evidence.notes.get(name, {})]
    missing = [name for name in item.needs if name not in evidence.notes]
    if broken:
        outcome = ungradable(str(evidence.notes[broken[0]]["error"]))
    elif missing:
        outcome = ungradable(f"the probe {missing[0]} was not run")
    else:
        try:
            outcome = item.judge(evidence)
        except Exception as error:
            outcome = ungradable(f"the check itself broke ({type(error).__name__}: {error})")
    return CheckResult(
        name=item.name,
        description=item.description,
        verdict=outcome.verdict,
        points=item.points if outcome.verdict is Verdict.PASS else 0,
        max_points=item.points,
        rationale=outcome.rationale,
        help=outcome.help,
        evidence=outcome.evidence,
    )
