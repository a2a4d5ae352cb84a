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
    untouched lines are kept, line ends too.  Never raises for what stands in the text.
    """
    if len(text) > MAX_BYTES:
        return Repair(text, text, [], file)
    ends = "\r\n" if "\r\n" in text else "\n"
    draft = Draft.of(text.replace("\r\n", "\n"), file, era)
    changes: list[Change] = []
    texts = [draft.text]
    steps = {draft.text: 0}
    while len(changes) < MAX_CHANGES:
        rule, edit = next(_edits(draft), ("", None))
        if edit is None:
            break
        draft = Draft(file, era, edit.lines)
        if draft.text in steps:
            # Two rules undo each other: take one state of the circle, always the same one.
            circle = texts[steps[draft.text] :]
            kept = steps[min(circle)]
            del changes[kept:], texts[kept + 1 :]
            break
        steps[draft.text] = len(texts)
        texts.append(draft.text)
        place = Position(file, edit.line, 1)
        changes.append(Change(edit.reason, place, edit.before, edit.after, rule))
    if not changes:
        return Repair(text, text, [], file)
    return Repair(text, texts[-1].replace("\n", ends), changes, file)


def _edits(draft: Draft) -> Iterator[tuple[str, Edit]]:
    for rule in RULES:
        edit = rule(draft)
        if edit is not None and edit.lines != draft.lines:
            yield rule.__name__, edit


__all__ = ["RULES", "Change", "Repair", "repair"]
