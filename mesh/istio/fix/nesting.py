"""A key indented like the items of the list above it: ``http:`` under ``hosts:``.

The commonest break of the lecture's slides.  YAML reads the key as a part of the list, finds no
``-`` and gives up; what was meant is the level of the list's own key - or, when only the items
know such a field (``port`` below ``match:``), the inside of the last item.
"""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import BaseModel

from mesh.istio.document import SYNTAX
from mesh.istio.fix.draft import Draft, Edit, Line
from mesh.istio.kinds import KINDS
from mesh.istio.models.base import child_model, fields_of

_SIGNS = ("expected '-'", "block end", "block collection", "expected key", "block mapping")


def nesting(draft: Draft) -> Edit | None:
    """Give the block on which YAML gave up the indentation that its key asks for."""
    for document in draft.documents:
        for problem in document.problems:
            if problem.code == SYNTAX and any(each in problem.message for each in _SIGNS):
                index = problem.position.line - 1
                if 0 <= index < len(draft.lines) and draft.lines[index].key:
                    edit = _lift(draft, index, draft.span(document)[0])
                    if edit:
                        return edit
    return None


def _lift(draft: Draft, index: int, first: int) -> Edit | None:
    line = draft.lines[index]
    column, key = line.indent, line.key
    if line.text.lstrip().startswith("-"):
        return None
    parent = _list_key(draft, index, first)
    if parent is None:
        return _align(draft, index, first)
    owner = draft.lines[parent]
    level = len(owner.text) - len(owner.text.lstrip(" -"))
    end = draft.block_end(index, column + 1)
    if _only_in_items(owner.key, key):
        target = column + 2
        reason = f"`{key}` is a field of the items of `{owner.key}`: it stands inside the item, beside its other keys"
    else:
        target = level
        end = _rest(draft, index, column)
        reason = f"`{key}` is no item of the list `{owner.key}`: it stands at the level of `{owner.key}` itself"
    return _shift(draft, index, end, target - column, reason)


def _list_key(draft: Draft, index: int, first: int) -> int | None:
    """Return the line of the key whose list the block above belongs to."""
    column = draft.lines[index].indent
    items = False
    for above in range(index - 1, first - 1, -1):
        line = draft.lines[above]
        if line.blank:
            continue
        level = len(line.text) - len(line.text.lstrip(" -"))
        if line.indent == column and line.text.lstrip().startswith("-"):
            items = True
        elif line.indent < column:
            ends = line.text.rstrip().endswith(":")
            return above if items and ends and line.key and level < column else None
    return None


def _align(draft: Draft, index: int, first: int) -> Edit | None:
    """Give a key that lines up with nothing the nearest level that is open above it."""
    column = draft.lines[index].indent
    levels: list[int] = []
    lowest = 10_000
    for above in range(index - 1, first - 1, -1):
        line = draft.lines[above]
        if line.blank or not line.key:
            continue
        level = len(line.text) - len(line.text.lstrip(" -"))
        if level < lowest:
            levels.append(level)
            lowest = min(level, line.indent) if line.indent < level else level
            if line.indent != level:
                lowest = level
    if not levels or column in levels:
        return None
    target = min(levels, key=lambda each: (abs(each - column), each))
    if abs(target - column) > 1:
        return None
    reason = f"`{draft.lines[index].key}` does not line up with the keys above it"
    return _shift(draft, index, draft.block_end(index, column + 1), target - column, reason)


def _rest(draft: Draft, index: int, column: int) -> int:
    """Return the end of the block and of what follows at its level: it was indented with it."""
    end = draft.block_end(index, column + 1)
    while end < len(draft.lines):
        line = draft.lines[end]
        if line.blank:
            end += 1
        elif line.indent == column and line.key and not line.text.lstrip().startswith("-"):
            end = draft.block_end(end, column + 1)
        else:
            break
    while end > index + 1 and draft.lines[end - 1].blank:
        end -= 1
    return end


def _shift(draft: Draft, start: int, end: int, by: int, reason: str) -> Edit:
    new = []
    for line in draft.lines[start:end]:
        text = line.text
        if by > 0:
            text = " " * by + text if text.strip() else text
        else:
            text = text[min(-by, line.indent) :]
        new.append(Line(text, line.origin))
    return draft.replace(start, end, new, reason)


def _only_in_items(parent: str, key: str) -> bool:
    """True when, in every model that has a list ``parent``, its items know ``key`` and it does not."""
    found = [
        (key in fields_of(below), key in fields_of(owner))
        for kind in KINDS
        for owner in _models(kind.model, set())
        for name, field in fields_of(owner).items()
        if name == parent and (below := child_model(field)) is not None
    ]
    return any(inside and not beside for inside, beside in found) and not any(
        beside for _, beside in found
    )


def _models(model: type[BaseModel], seen: set[type[BaseModel]]) -> Iterator[type[BaseModel]]:
    if model in seen:
        return
    seen.add(model)
    yield model
    for field in fields_of(model).values():
        below = child_model(field)
        if below is not None:
            yield from _models(below, seen)
