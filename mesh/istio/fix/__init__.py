"""Repair: YAML that a student can almost apply, made right, one explained change after another.

A rule reads the text (and, where it can be read, the tree and the models of ``mesh.istio``) and
proposes one edit of lines with its reason.  Rules run in the order of ``RULES``, from what keeps
YAML from being read (numbers of a slide, a key indented like a list item) to what Istio refuses
(fields at the wrong level, capitals) and what the era ignores, until none has anything to say;
so repairing twice changes nothing more.  Shown by ``meshctl fix FILE``, done by ``--write``.
"""

from __future__ import annotations

import difflib
import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from mesh.istio.eras import Era
from mesh.istio.fix.characters import characters
from mesh.istio.fix.convert import legacy_formats
from mesh.istio.fix.deprecated import deprecated
from mesh.istio.fix.draft import Draft, Edit
from mesh.istio.fix.envelope import (
    api_version,
    kind_spelling,
    missing_kind,
    name_spelling,
    order,
    outside_spec,
)
from mesh.istio.fix.flow import expand_flow
from mesh.istio.fix.fragment import fragment
from mesh.istio.fix.misplaced import misplaced
from mesh.istio.fix.nesting import nesting
from mesh.istio.fix.numbered_lines import numbered_lines
from mesh.istio.fix.placeholders import placeholders
from mesh.istio.fix.prose import prose
from mesh.istio.fix.retired_kinds import retired_kinds
from mesh.istio.fix.spelling import field_spelling, list_expected, one_or_many, word_spelling
from mesh.istio.fix.two_keys import two_keys
from mesh.istio.problem import Position

Rule = Callable[[Draft], Edit | None]

RULES: tuple[Rule, ...] = (
    characters,
    numbered_lines,
    prose,
    two_keys,
    nesting,
    placeholders,
    legacy_formats,
    fragment,
    missing_kind,
    kind_spelling,
    api_version,
    retired_kinds,
    outside_spec,
    order,
    name_spelling,
    list_expected,
    one_or_many,
    misplaced,
    expand_flow,
    field_spelling,
    word_spelling,
    deprecated,
)

BUDGET = 200_000
"""How many characters may be read again, all steps together; enough for 70 changes of a slide."""


@dataclass(frozen=True, slots=True)
class Change:
    """One repair: why, where (in the file as written), the lines before and after, by which rule."""

    reason: str
    position: Position
    before: str
    after: str
    rule: str = ""


@dataclass(frozen=True, slots=True)
class Repair:
    """A repaired text and how it came about."""

    original: str
    text: str
    changes: list[Change]
    file: str = ""

    def diff(self) -> str:
        """Return the difference in the form that ``diff -u`` and ``patch`` use."""
        name = self.file or "file.yaml"
        return "".join(
            difflib.unified_diff(
                self.original.splitlines(keepends=True),
                self.text.splitlines(keepends=True),
                name,
                f"{name} (repaired)",
            )
        )


def repair(text: str, file: str = "", *, era: Era) -> Repair:
    """Return the text with everything repaired that has one sensible repair in this era.

    What is ambiguous stays as it is, for ``meshctl analyze`` to explain.  Comments and layout of
    untouched lines are kept, line ends too.  Never raises for what stands in the text, and stops
    after a fixed amount of work, so that a huge file costs no more than about a second.
    """
    if len(text) > BUDGET:
        return Repair(text, text, [], file)
    ends = "\r\n" if "\r\n" in text else "\n"
    whole = Draft.of(text.replace("\r\n", "\n"), file, era)
    starts = [document.line - 1 for document in whole.documents]
    changes: list[Change] = []
    lines = list(whole.lines[: starts[0]] if starts else whole.lines)
    budget = BUDGET
    for start, end in itertools.pairwise([*starts, len(whole.lines)]):
        done, found, budget = _repair(Draft(file, era, whole.lines[start:end]), budget)
        lines += done.lines
        changes += found
    if not changes:
        return Repair(text, text, [], file)
    repaired = "\n".join(line.text for line in lines)
    return Repair(text, repaired.replace("\n", ends), changes, file)


def _repair(draft: Draft, budget: int) -> tuple[Draft, list[Change], int]:
    """Repair one document; return it, the changes, and what is left of the budget."""
    changes: list[Change] = []
    drafts = [draft]
    steps = {draft.text: 0}
    while True:
        draft = drafts[-1]
        budget -= len(draft.text)
        if budget < 0:
            break
        rule, edit = next(_edits(draft), ("", None))
        if edit is None:
            break
        draft = Draft(draft.file, draft.era, edit.lines)
        if draft.text in steps:
            # Two rules undo each other: take one state of the circle, always the same one.
            circle = [each.text for each in drafts[steps[draft.text] :]]
            kept = steps[min(circle)]
            del changes[kept:], drafts[kept + 1 :]
            break
        steps[draft.text] = len(drafts)
        drafts.append(draft)
        place = Position(draft.file, edit.line, 1)
        changes.append(Change(edit.reason, place, edit.before, edit.after, rule))
    return drafts[-1], changes, budget


def _edits(draft: Draft) -> Iterator[tuple[str, Edit]]:
    for rule in RULES:
        edit = rule(draft)
        if edit is not None and edit.lines != draft.lines:
            yield rule.__name__, edit


__all__ = ["RULES", "Change", "Repair", "repair"]
