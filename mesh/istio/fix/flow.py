"""``{host: a, weight: 90}``: a map in braces, written out in lines so that a key of it can move.

Only where a key in the braces belongs elsewhere; braces that are right stay.
"""

from __future__ import annotations

from mesh.istio.document import Node
from mesh.istio.fix.draft import Draft, Edit
from mesh.istio.fix.fields import Place, unknown
from mesh.istio.models.base import child_model, fields_of


def expand_flow(draft: Draft) -> Edit | None:
    """Write out the outermost braces around the first misplaced key."""
    for place in unknown(draft):
        if draft.in_block_style(place.name, place.entry) or not _has_home(place):
            continue
        for level in place.levels:
            name, entry = next(iter(level.node.entries.items()))
            if not draft.in_block_style(name, entry):
                edit = _expand(draft, level.node, place.name)
                if edit:
                    return edit
                break
    return None


def _has_home(place: Place) -> bool:
    if any(
        place.name in fields_of(level.model) and place.name not in level.node.entries
        for level in place.levels[:-1]
    ):
        return len(place.owner.node.entries) > 1
    return any(
        place.name in fields_of(below)
        for field in fields_of(place.owner.model).values()
        if (below := child_model(field)) is not None
    )


def _expand(draft: Draft, node: Node, name: str) -> Edit | None:
    index, column = node.line - 1, node.column - 1
    text = draft.lines[index].text
    before = text[:column]
    close = _close(text, column)
    if text[column : column + 1] != "{" or close < 0:
        return None
    rest = text[close + 1 :].strip()
    dashes = not before.strip(" -")
    if (rest and not rest.startswith("#")) or not (dashes or before.rstrip().endswith(":")):
        return None
    if not dashes and "{" in before:
        return None
    places = sorted(each.column - 1 for each in node.entries.values() if each.line == node.line)
    if len(places) != len(node.entries):
        return None
    parts = [
        text[start:end].rstrip(" ,")
        for start, end in zip(places, [*places[1:], close], strict=True)
    ]
    if dashes:
        indent = " " * len(before)
        new = [before + parts[0] + (f"  {rest}" if rest else ""), *(indent + p for p in parts[1:])]
    else:
        indent = " " * (len(before) - len(before.lstrip(" -")) + 2)
        head = before.rstrip() + (f"  {rest}" if rest else "")
        new = [head, *(indent + each for each in parts)]
    reason = f"the braces are written out in lines, so that `{name}` can go where it belongs"
    return draft.replace(index, index + 1, new, reason)


def _close(text: str, start: int) -> int:
    """Return the index of the brace that closes the one at ``start``; -1 when it is elsewhere."""
    depth, quote = 0, ""
    for index in range(start, len(text)):
        letter = text[index]
        if quote:
            quote = "" if letter == quote else quote
        elif letter in "\"'":
            quote = letter
        elif letter in "{[":
            depth += 1
        elif letter in "}]":
            depth -= 1
            if depth == 0:
                return index
    return -1
