"""Fields and words that are nearly right: ``hosts`` for ``host``, ``trafficpolicy``, ``random``."""

from __future__ import annotations

from difflib import get_close_matches

from mesh.istio.fix.draft import Draft, Edit
from mesh.istio.fix.fields import Place, is_list, places, unknown
from mesh.istio.models.base import child_model, fields_of, is_map, words_of


def one_or_many(draft: Draft) -> Edit | None:
    """``hosts:`` with one item where the model has ``host:``, and the other way round."""
    for place in unknown(draft):
        if not draft.in_block_style(place.name, place.entry):
            continue
        known, node = fields_of(place.owner.model), place.entry.node
        single, plural = place.name.removesuffix("s"), place.name + "s"
        start, column = place.entry.line - 1, place.entry.column
        end = draft.block_end(start, column)
        head = draft.lines[start].text[: column - 1]
        if single in known and single != place.name and single not in place.owner.node.entries:
            if is_list(known[single]) or child_model(known[single]) is not None:
                continue
            if node.kind == "list" and len(node.items) == 1 and node.items[0].kind == "scalar":
                line = draft.lines[node.items[0].line - 1].text
                value = line[node.items[0].column - 1 :].rstrip()
                if node.items[0].line - 1 == start:
                    value = value.rstrip("] ")
                comments = [each for each in draft.lines[start + 1 : end] if each.blank]
            elif node.kind == "scalar":
                value, comments = draft.lines[start].text[node.column - 1 :].rstrip(), []
            else:
                continue
            reason = f"the field is `{single}`, one name, not the list `{place.name}`"
            return draft.replace(start, end, [f"{head}{single}: {value}", *comments], reason)
        if plural in known and plural not in place.owner.node.entries and is_list(known[plural]):
            if node.kind != "scalar" or node.line - 1 != start or end != start + 1:
                continue
            value = draft.lines[start].text[node.column - 1 :].rstrip()
            new = [f"{head}{plural}:", " " * (column + 1) + f"- {value}"]
            return draft.replace(start, end, new, f"the field is `{plural}`, a list")
    return None


def field_spelling(draft: Draft) -> Edit | None:
    """Rename a field that differs from a known one by capitals, underscores or a letter."""
    for place in unknown(draft):
        right = _nearest(place)
        if right and draft.in_block_style(place.name, place.entry):
            reason = f"there is no field `{place.name}` in {place.owner.path}: `{right}` is meant"
            return _rename(draft, place, right, reason)
    return None


def _nearest(place: Place) -> str:
    free = [name for name in fields_of(place.owner.model) if name not in place.owner.node.entries]
    folded = {name.lower().replace("_", ""): name for name in free}
    bare = place.name.lower().replace("_", "").replace("-", "")[:80]
    close = get_close_matches(bare, folded, n=1, cutoff=0.8)
    if not close:
        return ""
    right = folded[close[0]]
    return right if _fits(place, right) else ""


def _fits(place: Place, name: str) -> bool:
    field, node = fields_of(place.owner.model)[name], place.entry.node
    if is_list(field):
        return node.kind == "list"
    if is_map(field) or child_model(field) is not None:
        return node.kind == "map"
    return node.kind == "scalar"


def _rename(draft: Draft, place: Place, right: str, reason: str) -> Edit:
    index, at = place.entry.line - 1, place.entry.column - 1
    text = draft.lines[index].text
    at = text.index(place.name, at)
    new = text[:at] + right + text[at + len(place.name) :]
    return draft.replace(index, index + 1, [new], reason)


def word_spelling(draft: Draft) -> Edit | None:
    """Write a word of an enumeration in its capitals: ``random`` is RANDOM."""
    for place in places(draft):
        words = words_of(place.field) if place.field is not None else ()
        value = place.entry.node.value
        if not words or not isinstance(value, str) or value in words:
            continue
        folded = {word.lower().replace("_", ""): word for word in words}
        right = folded.get(value.lower().replace("_", "").replace("-", ""))
        if right is None:
            continue
        index = place.entry.node.line - 1
        text = draft.lines[index].text
        at = text.find(value, place.entry.node.column - 1)
        if at >= 0:
            new = text[:at] + right + text[at + len(value) :]
            reason = f"`{place.name}` takes {', '.join(words)}: capitals count"
            return draft.replace(index, index + 1, [new], reason)
    return None


def list_expected(draft: Draft) -> Edit | None:
    """Put the ``-`` before a map where a list of maps is expected: ``http:`` without a dash."""
    for place in places(draft):
        node, field = place.entry.node, place.field
        if field is None or not is_list(field) or child_model(field) is None or node.kind != "map":
            continue
        if not node.entries or not draft.in_block_style(place.name, place.entry):
            continue
        name, first = next(iter(node.entries.items()))
        if first.line <= place.entry.line or not draft.in_block_style(name, first):
            continue
        start = first.line - 1
        end = draft.block_end(place.entry.line - 1, place.entry.column)
        column = first.column - 1
        new = [" " * column + "- " + draft.lines[start].text[column:]]
        new += [
            "  " + each.text if each.text.strip() else "" for each in draft.lines[start + 1 : end]
        ]
        reason = f"`{place.name}` is a list: each item starts with a dash"
        return draft.replace(start, end, new, reason)
    return None
