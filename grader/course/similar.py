"""``grade similar``: whose answers are too much alike, and who answered somebody else's task.

Right answers to one task are alike by nature; what tells is what the task does not ask for.  So
three findings are told apart, each for a person to look at, none of them changes a mark:

``foreign``   the files answer another set of parameters than the student's own (``grader.foreign``);
              where numbers were issued, whose
``same text`` the same files character for character, comments and layout included, beyond the
              starter's
``same form`` the same data (``canonical``) in an unusual form that few others have
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from grader.course.appeals import opened, say
from grader.course.attempt import PARAMETERS, own_lab
from grader.course.store import Attempt, Store
from grader.lab import LabDefinition
from grader.proof.variants import canonical
from grader.report.terminal import make_console
from grader.run import EXIT_SOUND, guarded

FEW = 4
"""A form that more submissions share than this is simply the way to do it."""


@dataclass(frozen=True, slots=True)
class Finding:
    """Something to look at; ``students`` are pseudonyms."""

    kind: str
    lab: int
    students: tuple[str, ...]
    text: str


def texts(attempt: Attempt, lab: LabDefinition) -> dict[str, str]:
    """The Istio files of an attempt."""
    folder = attempt.folder / "files"
    return {
        name: (folder / name).read_text(encoding="utf-8", errors="replace")
        for name in lab.manifests
        if (folder / name).is_file()
    }


def findings(attempts: Iterable[Attempt]) -> list[Finding]:
    """All findings among the attempts of one lab."""
    held = [(each, own_lab(each)) for each in attempts if not each.refused]
    found = [each for pair in held if (each := foreign(*pair, [a for a, _ in held]))]
    raw: dict[str, list[Attempt]] = {}
    forms: dict[str, list[Attempt]] = {}
    for attempt, lab in held:
        files = texts(attempt, lab)
        starter = {name: _read(lab.start / name) for name in files}
        solution = {name: _read(lab.solution / name) for name in files}
        if files in (starter, solution):
            continue
        raw.setdefault(_hash(json.dumps(files, sort_keys=True)), []).append(attempt)
        forms.setdefault(_hash(canonical(files)), []).append(attempt)
    same = [group for group in raw.values() if len(people(group)) > 1]
    said = "the same files, character for character"
    found += [_finding("same text", group, said) for group in same]
    for group in forms.values():
        several = people(group)
        if 1 < len(several) <= FEW and not any(set(several) <= set(people(each)) for each in same):
            found.append(_finding("same form", group, f"a form that only {len(several)} have"))
    return found


def foreign(attempt: Attempt, lab: LabDefinition, others: list[Attempt]) -> Finding | None:
    """The finding that these files answer another set, with the others who have that set."""
    if not attempt.done:
        return None
    owner = str(attempt.result().get("foreign", ""))
    if not owner:
        return None
    files = canonical(texts(attempt, lab))
    twins = [
        each.members[0]
        for each in others
        if each.members[0] not in attempt.members
        and _parameters(each) != _parameters(attempt)
        and canonical(texts(each, own_lab(each))) == files
    ]
    whose = f", as {', '.join(sorted(set(twins)))} did" if twins else ""
    people = (*attempt.members, *sorted(set(twins)))
    return Finding("foreign", attempt.lab, people, f"the files answer {owner}{whose}")


def people(group: list[Attempt]) -> tuple[str, ...]:
    """The first member of each attempt, once."""
    return tuple(sorted({each.members[0] for each in group}))


def _finding(kind: str, group: list[Attempt], text: str) -> Finding:
    return Finding(kind, group[0].lab, people(group), text)


def _parameters(attempt: Attempt) -> str:
    path = attempt.folder / PARAMETERS
    return path.read_text(encoding="utf-8") if path.exists() else ""


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError:
        return ""


def show_similar(out: Path, lab: int | None) -> int:
    """``grade similar``."""
    console = make_console()

    def run() -> int:
        store = opened(out)
        count = 0
        for number in store.labs() if lab is None else [lab]:
            for each in findings(store.attempts(number)):
                text = named(store, each.text)
                names = ", ".join(named(store, alias) for alias in each.students)
                say(console, f"lab {each.lab}, {each.kind}: {names}: {text}")
                count += 1
        say(console, f"{count} findings, for a person to judge.")
        return EXIT_SOUND

    return guarded(console, run)


def named(store: Store, text: str) -> str:
    """A text with students' ids in place of pseudonyms."""
    for alias, student in store.students.items():
        text = text.replace(alias, student.student)
    return text
