"""Repair: YAML that a student can almost apply, made right, one explained change after another.

A rule reads the text (and, where it can be read, the tree and the models of ``mesh.istio``) and
proposes one edit of lines with its reason.  Rules run in the order of ``RULES``, from what keeps
YAML from being read (numbers of a slide, a key indented like a list item) to what Istio refuses
(fields at the wrong level, capitals) and what the era ignores, until none has anything to say;
so repairing twice changes nothing more.  Shown by ``meshctl fix FILE``, done by ``--write``.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from mesh.istio.document import MAX_BYTES
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
from mesh.istio.fix.fragment import fragment
from mesh.istio.fix.misplaced import misplaced
from mesh.istio.fix.nesting import nesting
from mesh.istio.fix.numbered_lines import numbered_lines
from mesh.istio.fix.placeholders import placeholders
from mesh.istio.fix.prose import prose
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
    outside_spec,
    order,
    name_spelling,
    list_expected,
    one_or_many,
    misplaced,
    field_spelling,
    word_spelling,
    deprecated,
)

MAX_CHANGES = 500


@dataclass(frozen=True, slots=True)
class Change:
    """One repair: why, where (in the file as written), the lines before and after."""

    reason: str
    position: Position
    before: str
    after: str


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
    untouched lines are kept, line ends too.  Never raises for what stands in the text.
    """
    if len(text) > MAX_BYTES:
        return Repair(text, text, [], file)
    ends = "\r\n" if "\r\n" in text else "\n"
    draft = Draft.of(text.replace("\r\n", "\n"), file, era)
    changes: list[Change] = []
    seen = {draft.text}
    while len(changes) < MAX_CHANGES:
        found = next(_edits(draft, seen), None)
        if found is None:
            break
        edit, draft = found
        seen.add(draft.text)
        changes.append(Change(edit.reason, Position(file, edit.line, 1), edit.before, edit.after))
    if not changes:
        return Repair(text, text, [], file)
    return Repair(text, draft.text.replace("\n", ends), changes, file)


def _edits(draft: Draft, seen: set[str]) -> Iterator[tuple[Edit, Draft]]:
    for rule in RULES:
        edit = rule(draft)
        if edit is not None:
            after = Draft(draft.file, draft.era, edit.lines)
            if after.text not in seen:
                yield edit, after


__all__ = ["RULES", "Change", "Repair", "repair"]
