"""Judging again from evidence: without traffic, without a mesh, years later.

``rescore`` gives byte for byte the result that is stored, or the checks have changed.  With
repaired checks every mark that changes is known before anything is written.  A new measurement is
``rerun``, which keeps the old one aside, and brings it back when the new one fails.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from grader.answers import load_questions, read_answers
from grader.checks import CheckFile, imported, judge, judge_answers, load_answer_checks, load_checks
from grader.course.attempt import own_lab, result_text
from grader.course.lost import lost
from grader.course.store import Attempt, Store
from grader.evidence.record import load_evidence
from grader.foreign import foreign_set
from grader.lab import ANSWERS, LabDefinition, LabError, find_lab
from grader.result import Result
from grader.verdict import CheckResult, Verdict
from mesh.state import write_atomic

CHECKS = "checks.py"
ASKED = "asked for by a person"


@dataclass(frozen=True, slots=True)
class Change:
    """One check of one attempt that comes out differently; ``old`` and ``new`` as ``pass 4/4``."""

    attempt: Attempt
    check: str
    old: str
    new: str


@dataclass(frozen=True, slots=True)
class Rescored:
    """One attempt judged again: the new text of ``result.json`` and what differs."""

    attempt: Attempt
    text: str
    changes: tuple[Change, ...]

    @property
    def identical(self) -> bool:
        """Byte for byte what is stored."""
        return self.text == (self.attempt.run / "result.json").read_text(encoding="utf-8")


def kept_checks(attempt: Attempt) -> Path | None:
    """The checks that a rescore left in the store of ``attempt`` and that count since."""
    path = attempt.folder.parents[1] / CHECKS
    return path if path.exists() else None


def checks_of(store: Store, lab: LabDefinition, new: Path | None = None) -> CheckFile:
    """The checks that count: ``new``, those a rescore left in the store, or the lab's own."""
    kept = store.out / lab.slug / CHECKS
    path = new or (kept if kept.exists() else lab.folder / CHECKS)
    try:
        return load_checks(path, lab.folder)
    except OSError as error:
        raise LabError(f"{path} cannot be read: {error.strerror}.") from None
    except Exception as error:
        raise LabError(f"{path} does not load: {type(error).__name__}: {error}.") from None


def rescore(attempt: Attempt, checks: CheckFile) -> Rescored:
    """Judge the stored evidence of ``attempt``; writes nothing."""
    lab = own_lab(attempt)
    stored = attempt.result()
    evidence = load_evidence(attempt.run)
    foreign, answers = stored.get("foreign", ""), tuple(map(_check, stored.get("answers", ())))
    if stored.get("reason", ""):
        first = stored["checks"][0] if stored["checks"] else {"rationale": "", "help": ""}
        found = lost(lab, first["rationale"], first["help"], checks).checks
        if stored["verdict"] == Verdict.UNGRADABLE:
            found = tuple(_check(item) for item in stored["checks"])
    else:
        found = judge(checks.checks, evidence)
        other = foreign_set(lab, checks.checks, evidence, found)
        foreign = other.owner if other else ""
        questions = load_questions(lab)
        given = read_answers(attempt.folder / "files" / ANSWERS, questions, ANSWERS)
        answers = judge_answers(load_answer_checks(lab.folder), questions.all, given, evidence)
    result = Result(
        lab=stored["lab"],
        seconds=stored["seconds"],
        engine=stored["engine"],
        runtime=stored["runtime"],
        era=stored["era"],
        seed=stored["seed"],
        checks=found,
        digest=stored["digest"],
        versions=stored["versions"],
        answers=answers,
        student=stored.get("student", ""),
        foreign=foreign,
        fence=stored.get("fence", ""),
    )
    return Rescored(
        attempt, result_text(result, stored.get("reason", "")), _changes(attempt, stored, result)
    )


def _check(raw: dict[str, Any]) -> CheckResult:
    return CheckResult(**{**raw, "verdict": Verdict(raw["verdict"])})


def _changes(attempt: Attempt, stored: dict[str, Any], result: Result) -> tuple[Change, ...]:
    old = {item["name"]: _shown(item) for item in [*stored["checks"], *stored.get("answers", ())]}
    plain = result.as_dict()
    new = {item["name"]: _shown(item) for item in [*plain["checks"], *plain["answers"]]}
    return tuple(
        Change(attempt, name, old.get(name, "not there"), new.get(name, "not there"))
        for name in {**old, **new}
        if old.get(name) != new.get(name)
    )


def _shown(item: dict[str, Any]) -> str:
    return f"{item['verdict']} {item['points']}/{item['max_points']}"


def write(store: Store, results: Iterable[Rescored], new: Path | None) -> int:
    """Write what differs; the old results stay beside the new ones.  Returns how many."""
    count = 0
    labs = set()
    for each in results:
        labs.add(each.attempt.lab)
        if each.identical:
            continue
        target = each.attempt.run / "result.json"
        number = len(list(each.attempt.run.glob("result-before-*.json"))) + 1
        shutil.copyfile(target, each.attempt.run / f"result-before-{number}.json")
        write_atomic(target, each.text)
        count += 1
    if new is not None:
        for lab in map(find_lab, labs):
            kept = store.out / lab.slug
            write_atomic(kept / CHECKS, new.read_text(encoding="utf-8"))
            for module in imported(new, lab.folder):
                write_atomic(kept / module.name, module.read_text(encoding="utf-8"))
    return count


def set_aside(attempt: Attempt) -> None:
    """Make room for a new measurement."""
    if attempt.done:
        attempt.discard(ASKED)


def bring_back(attempt: Attempt) -> bool:
    """After a new measurement that failed, the newest sound result that a person set aside."""
    if attempt.done and attempt.result()["verdict"] != Verdict.UNGRADABLE:
        return False
    for folder in reversed(attempt.discarded):
        try:
            asked = (folder / "why.txt").read_text(encoding="utf-8").strip() == ASKED
            raw = json.loads((folder / "result.json").read_text(encoding="utf-8"))
        except OSError:
            continue
        if asked and raw["verdict"] != Verdict.UNGRADABLE:
            if attempt.run.exists():
                attempt.discard("a new measurement that failed")
            shutil.copytree(folder, attempt.run)
            return True
    return False
