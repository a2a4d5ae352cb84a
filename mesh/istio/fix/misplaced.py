"""A field one or more levels too deep or too high: ``weight`` in ``destination``.

An API server refuses such a field (older ones dropped it silently: no timeout, no retries, no
weights, and nobody told the student).  The models say where it belongs: the nearest map above
that knows the field, else the one map below that does.
"""

from __future__ import annotations

from mesh.istio.document import Entry, Node
from mesh.istio.fix.draft import Draft, Edit
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
    return _open(draft, place, name, is_list(field))


def _open(draft: Draft, place: Place, name: str, many: bool) -> Edit:
    """Put the home of a field around it: ``- host: a`` becomes ``- destination:``, ``host: a``."""
    start, column = place.entry.line - 1, place.entry.column
    end = draft.block_end(start, column)
    text = draft.lines[start].text
    first = " " * (column + 1) + ("- " if many else "") + text[column - 1 :]
    deeper = " " * (4 if many else 2)
    rest = [
        deeper + each.text if each.text.strip() else "" for each in draft.lines[start + 1 : end]
    ]
    reason = f"`{place.name}` is no field of {place.owner.path}; it belongs to `{name}`"
    return draft.replace(start, end, [text[: column - 1] + f"{name}:", first, *rest], reason)


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
