"""A field one or more levels too deep or too high: ``weight`` in ``destination``.

An API server refuses such a field (older ones dropped it silently: no timeout, no retries, no
weights, and nobody told the student).  The models say where it belongs: the nearest map above
that knows the field, else the one map below that does.
"""

from __future__ import annotations

from mesh.istio.document import Entry, Node
from mesh.istio.fix.draft import Draft, Edit, Line
from mesh.istio.fix.fields import Place, is_list, unknown
from mesh.istio.models.base import child_model, fields_of, is_map

_PREFERRED = ("http", "match", "trafficPolicy", "destination", "route")


def misplaced(draft: Draft) -> Edit | None:
    """Move the first field that is known elsewhere on its way, up or down."""
    for place in unknown(draft):
        if draft.in_block_style(place.name, place.entry):
            edit = _up(draft, place) or _down(draft, place)
            if edit:
                return edit
    return None


def _up(draft: Draft, place: Place) -> Edit | None:
    if len(place.owner.node.entries) == 1:
        return None
    for level in reversed(place.levels[:-1]):
        if place.name not in fields_of(level.model):
            continue
        if place.name in level.node.entries:
            return None
        way = level.node.entries[level.key]
        if not draft.in_block_style(level.key, way):
            return None
        end = draft.block_end(way.line - 1, way.column)
        reason = f"`{place.name}` is no field of {place.owner.path}; it belongs to {level.path}, beside `{level.key}`"
        return draft.move(place.entry, [(end, way.column - 1)], reason)
    return None


def _down(draft: Draft, place: Place) -> Edit | None:
    homes = []
    for name, field in fields_of(place.owner.model).items():
        below = child_model(field)
        if below is not None and not is_map(field) and place.name in fields_of(below):
            homes.append((name, field))
    present = [(name, field) for name, field in homes if name in place.owner.node.entries]
    preferred = [home for word in _PREFERRED for home in homes if home[0] == word]
    if present:
        name, field = next((each for each in preferred if each in present), present[0])
        return _into(draft, place, name)
    if not homes or (len(homes) > 1 and not preferred):
        return None
    name, field = (preferred or homes)[0]
    indent = place.entry.column - 1
    end = draft.block_end(place.entry.line - 1, place.entry.column)
    reason = f"`{place.name}` is no field of {place.owner.path}; it belongs to `{name}`"
    if not is_list(field):
        text = draft.lines[place.entry.line - 1].text[:indent]
        if "-" in text and len(place.owner.node.entries) == 1:
            return _open(draft, place, name, reason)
        return draft.move(place.entry, [(end, indent + 2)], reason, [" " * indent + f"{name}:"])
    head = [" " * indent + f"{name}:"]
    edit = draft.move(place.entry, [(end, indent + 4)], reason, head)
    if edit is None:
        return None
    return _with_dash(edit, place.name, indent)


def _open(draft: Draft, place: Place, name: str, reason: str) -> Edit:
    """``- host: a`` becomes ``- destination:`` and ``host: a`` below it."""
    start, column = place.entry.line - 1, place.entry.column
    end = draft.block_end(start, column)
    first = draft.lines[start].text
    new = [first[: column - 1] + f"{name}:", " " * (column + 1) + first[column - 1 :]]
    new += ["  " + line.text if line.text.strip() else "" for line in draft.lines[start + 1 : end]]
    return draft.replace(start, end, new, reason)


def _with_dash(edit: Edit, name: str, indent: int) -> Edit:
    """Put the ``-`` of a new list item before the key that was moved into it."""
    old, new = " " * (indent + 4) + name, " " * (indent + 2) + "- " + name
    lines = list(edit.lines)
    for index, line in enumerate(lines):
        if line.origin == edit.line and line.text.startswith(old):
            lines[index] = Line(new + line.text[len(old) :], line.origin)
            break
    after = edit.after.replace(old, new, 1)
    return Edit(edit.reason, edit.line, edit.before, after, tuple(lines))


def _into(draft: Draft, place: Place, name: str) -> Edit | None:
    home = place.owner.node.entries[name].node
    maps = [each for each in (home.items if home.kind == "list" else [home]) if each.kind == "map"]
    free = [each for each in maps if place.name not in each.entries and each.entries]
    if not free:
        return None
    targets = []
    for node in free:
        key, entry = _last(node)
        if not draft.in_block_style(key, entry):
            return None
        targets.append((draft.block_end(entry.line - 1, entry.column), entry.column - 1))
    where = f"`{name}`" if len(targets) == 1 else f"each item of `{name}`"
    reason = f"`{place.name}` is no field of {place.owner.path}; it belongs to {where}"
    return draft.move(place.entry, targets, reason)


def _last(node: Node) -> tuple[str, Entry]:
    return max(node.entries.items(), key=lambda each: each[1].line)
