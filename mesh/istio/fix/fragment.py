"""A piece of a VirtualService alone: the ``http`` rules that a slide shows without their object."""

from __future__ import annotations

from collections.abc import Iterator

from mesh.istio.document import Node
from mesh.istio.fix.draft import Draft, Edit, Line, child, scalar
from mesh.istio.fix.envelope import dns_name
from mesh.istio.models.base import fields_of
from mesh.istio.models.virtual_service import HTTPMatchRequest, HTTPRoute


def fragment(draft: Draft) -> Edit | None:
    """Put the object around a list of http rules: its hosts and gateways are read off the rules."""
    known = set(fields_of(HTTPRoute)) | set(fields_of(HTTPMatchRequest))
    for document, root in draft.plain_documents:
        if root.kind != "list" or not root.items:
            continue
        if not all(
            item.kind == "map" and item.entries.keys() <= known and "route" in item.entries
            for item in root.items
        ):
            continue
        hosts = list(dict.fromkeys(_words(root, "host")))
        gateways = list(dict.fromkeys(_gateways(root)))
        if not hosts:
            continue
        start, end = draft.span(document)
        while start < end and (draft.lines[start].blank or draft.lines[start].text[:3] == "---"):
            start += 1
        version = draft.era.preferred_networking_version
        head = [
            f"apiVersion: networking.istio.io/{version}",
            "kind: VirtualService",
            "metadata:",
            f"  name: {dns_name(hosts[0])}",
            "spec:",
            "  hosts:",
            *(f"    - {host}" for host in hosts),
            *(["  gateways:", *(f"    - {each}" for each in gateways)] if gateways else []),
            "  http:",
        ]
        body = [
            Line("    " + line.text if line.text.strip() else "", line.origin)
            for line in draft.lines[start:end]
        ]
        reason = "these are http rules of a VirtualService; the object around them was missing"
        return draft.replace(start, end, [*head, *body], reason)
    return None


def _words(node: Node, key: str) -> Iterator[str]:
    for item in node.items:
        yield from _words(item, key)
    for name, entry in node.entries.items():
        if name == key and scalar(entry.node):
            yield scalar(entry.node)
        elif name not in ("mirror", "mirrors"):
            yield from _words(entry.node, key)


def _gateways(root: Node) -> Iterator[str]:
    for rule in root.items:
        match = child(rule, "match")
        for block in [rule, *(match.items if match is not None else [])]:
            names = child(block, "gateways")
            if names is not None:
                yield from (scalar(each) for each in names.items if scalar(each))
