"""What stands around a spec: kind, apiVersion, name, fields that slid out of ``spec:``, order."""

from __future__ import annotations

import re
from difflib import get_close_matches

from mesh.istio.document import Document, Node
from mesh.istio.fix.draft import Draft, Edit, child, scalar
from mesh.istio.fix.fields import kind_of
from mesh.istio.kinds import KINDS, Kind, find_kind
from mesh.istio.models.base import fields_of

_TOP = ("apiVersion", "kind", "metadata", "spec", "status")
_NAME = re.compile(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?\Z")


def _maps(draft: Draft) -> list[tuple[Document, Node, Draft]]:
    return [
        (document, root, draft)
        for document, root in draft.plain_documents
        if root.kind == "map" and all(each.line > 0 for each in root.entries.values())
    ]


def missing_kind(draft: Draft) -> Edit | None:
    """Add the kind that has these fields."""
    for _, root, _ in _maps(draft):
        if "kind" in root.entries or not root.entries:
            continue
        kind = _guess(draft, root)
        if kind is not None:
            reason = f"no kind: the fields are those of a {kind.name}"
            return _on_top(draft, root, "kind", kind.name, reason)
    return None


def kind_spelling(draft: Draft) -> Edit | None:
    """Write a kind as the API server knows it: capitals count."""
    known = {kind.name for kind in KINDS}
    folded = {kind.name.lower(): kind.name for kind in KINDS}
    for _, root, _ in _maps(draft):
        written = scalar(child(root, "kind"))
        if not written or written in known or written.endswith("List"):
            continue
        bare = written.lower().replace("-", "").replace("_", "").replace(" ", "")[:80]
        close = get_close_matches(bare, folded, n=1, cutoff=0.85)
        if close:
            right = folded[close[0]]
            reason = f'there is no kind "{written}": it is spelt {right}, capitals included'
            return _set_word(draft, root, "kind", written, right, reason)
    return None


def api_version(draft: Draft) -> Edit | None:
    """Add the apiVersion of the kind in this era, or correct one that does not have this kind."""
    for _, root, _ in _maps(draft):
        name = scalar(child(root, "kind"))
        written = scalar(child(root, "apiVersion"))
        kinds = [kind for kind in KINDS if kind.name == name and kind.known_in(draft.era)]
        if not kinds or find_kind(written, name) is not None:
            continue
        kind = _same_group(kinds, root)
        right = kind.api_version(draft.era)
        if "apiVersion" not in root.entries:
            reason = f"no apiVersion: a {name} is served as {right} in {draft.era}"
            return _on_top(draft, root, "apiVersion", right, reason)
        if written:
            reason = f'there is no {name} in "{written}"'
            edit = _set_word(draft, root, "apiVersion", written, right, reason)
            if edit:
                return edit
    return None


def name_spelling(draft: Draft) -> Edit | None:
    """Write ``metadata.name`` in lower case, as Kubernetes demands; add one that is missing."""
    for _, root, _ in _maps(draft):
        if kind_of(root) is None or "spec" not in root.entries:
            continue
        meta = child(root, "metadata")
        if meta is None and "metadata" not in root.entries:
            host = _host(root)
            index = root.entries["spec"].line - 1
            new = ["metadata:", f"  name: {dns_name(host)}", draft.lines[index].text]
            if not host or root.entries["spec"].column != 1 or not dns_name(host):
                continue
            reason = "an object needs a name; it is taken from its host"
            return draft.replace(index, index + 1, new, reason)
        name = scalar(child(meta, "name"))
        if meta is None or not name or _NAME.match(name):
            continue
        right = dns_name(name)
        if right:
            reason = (
                f'"{name}" is no name that Kubernetes allows: lower case letters, digits, - and .'
            )
            edit = _set_word(draft, meta, "name", name, right, reason)
            if edit:
                return edit
    return None


def outside_spec(draft: Draft) -> Edit | None:
    """Move a field of the spec that stands at the top level below ``spec:``."""
    for _, root, _ in _maps(draft):
        kind = kind_of(root)
        if kind is None or kind.whole:
            continue
        spec = root.entries.get("spec")
        for name, entry in root.entries.items():
            if name in _TOP or name not in fields_of(kind.model):
                continue
            if not draft.in_block_style(name, entry):
                continue
            reason = f"`{name}` is a field of the spec: it is indented below `spec:`"
            indent = entry.column - 1
            if spec is None:
                end = draft.block_end(entry.line - 1, entry.column)
                return draft.move(entry, [(end, indent + 2)], reason, [" " * indent + "spec:"])
            if spec.node.kind == "map" and name in spec.node.entries:
                continue
            if spec.node.kind == "list" or spec.node.value is not None:
                continue
            if spec.node.kind == "map" and spec.node.entries:
                indent = min(each.column for each in spec.node.entries.values()) - 3
            if not draft.in_block_style("spec", spec):
                continue
            line = draft.lines[spec.line - 1].text
            if not re.match(r"\s*spec:\s*(#.*)?$", line):
                continue
            end = draft.block_end(spec.line - 1, spec.column)
            return draft.move(entry, [(end, indent + 2)], reason)
    return None


def order(draft: Draft) -> Edit | None:
    """Put ``metadata`` before ``spec``, as every example and ``kubectl`` has it."""
    for _, root, _ in _maps(draft):
        spec, meta = root.entries.get("spec"), root.entries.get("metadata")
        if spec is None or meta is None or meta.line <= spec.line or kind_of(root) is None:
            continue
        if draft.in_block_style("spec", spec) and draft.in_block_style("metadata", meta):
            reason = "metadata is written before spec: a reader looks for the name first"
            return draft.move(meta, [(spec.line - 1, meta.column - 1)], reason)
    return None


def dns_name(text: str) -> str:
    """Return a name that Kubernetes allows, from one that it does not: ``serviceB``: service-b."""
    text = re.sub(r"([a-z0-9])([A-Z])", r"\1-\2", text).lower()
    return re.sub(r"[^a-z0-9.-]+", "-", text)[:253].strip("-.")


def _guess(draft: Draft, root: Node) -> Kind | None:
    spec = child(root, "spec")
    keys = set(root.entries) - set(_TOP)
    if spec is not None and spec.kind == "map":
        keys |= set(spec.entries)
    best: list[tuple[int, Kind]] = []
    for kind in KINDS:
        if kind.whole or not kind.group.endswith("istio.io") or not kind.known_in(draft.era):
            continue
        known = len(keys & set(fields_of(kind.model)))
        if known and known * 2 > len(keys):
            best.append((known, kind))
    top = max((known for known, _ in best), default=0)
    winners = [kind for known, kind in best if known == top]
    for preferred in ("VirtualService", "DestinationRule"):
        if len(winners) > 1:
            winners = [kind for kind in winners if kind.name == preferred] or winners
    return winners[0] if len({kind.name for kind in winners}) == 1 else None


def _same_group(kinds: list[Kind], root: Node) -> Kind:
    """Return the kind whose fields these are, where several groups have the name (Gateway)."""
    spec = child(root, "spec")
    keys = set(spec.entries) if spec is not None else set()
    return max(kinds, key=lambda kind: len(keys & set(fields_of(kind.model))))


def _host(root: Node) -> str:
    spec = child(root, "spec")
    hosts = child(spec, "hosts")
    if hosts is not None and hosts.kind == "list" and hosts.items:
        return scalar(hosts.items[0])
    return scalar(child(spec, "host"))


def _on_top(draft: Draft, root: Node, key: str, value: str, reason: str) -> Edit | None:
    name, entry = next(iter(root.entries.items()))
    if not draft.in_block_style(name, entry) or "-" in draft.lines[entry.line - 1].text[:2]:
        return None
    index = entry.line - 1
    new = [" " * (entry.column - 1) + f"{key}: {value}", draft.lines[index].text]
    return draft.replace(index, index + 1, new, reason)


def _set_word(draft: Draft, node: Node, key: str, old: str, new: str, reason: str) -> Edit | None:
    entry = node.entries[key]
    if not draft.in_block_style(key, entry):
        return None
    index = entry.node.line - 1
    text = draft.lines[index].text
    at = text.find(old, entry.node.column - 1)
    if at < 0:
        return None
    return draft.replace(index, index + 1, [text[:at] + new + text[at + len(old) :]], reason)
