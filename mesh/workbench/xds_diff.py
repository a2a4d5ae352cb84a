"""xDS diff: which of Envoy's resources a change of Istio YAML adds, removes or changes, and where.

One changed VirtualService can change a route table in every sidecar; the same change in many
proxies is told once.  Texts are the YAML of the resources, so a unified diff of them reads like
``istioctl proxy-config -o yaml`` before and after.  Shown by ``meshctl diff OLD NEW``.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, Protocol

import yaml

Kind = Literal["added", "removed", "changed"]


class Message(Protocol):
    """What is needed of an xDS message."""

    def to_dict(self) -> dict[str, object]:
        """Return it as plain data, protobuf's JSON form."""


Resources = Mapping[str, Mapping[str, Message]]
"""Short name of a type (CDS, EDS, LDS, RDS) -> resource name -> message."""


@dataclass(frozen=True, slots=True)
class Change:
    """One resource that differs; ``proxies`` are all that get this difference, the texts the first's."""

    type: str
    name: str
    kind: Kind
    old: str
    new: str
    proxies: tuple[str, ...] = ()

    def diff(self) -> str:
        """Return the difference of the two texts as ``diff -u`` writes it, without the file names."""
        lines = difflib.unified_diff(
            self.old.splitlines(keepends=True), self.new.splitlines(keepends=True), n=2
        )
        return "".join(list(lines)[2:])


def compare(old: Mapping[str, Resources], new: Mapping[str, Resources]) -> list[Change]:
    """Compare what each proxy has before and after; proxies of one name belong together."""
    found: dict[tuple[str, str, Kind, str], tuple[Change, list[str]]] = {}
    for proxy in sorted({*old, *new}):
        before, after = old.get(proxy, {}), new.get(proxy, {})
        for kind in sorted({*before, *after}):
            for each in _of_type(kind, before.get(kind, {}), after.get(kind, {})):
                # Not by the whole text: each proxy's resources name the proxy here and there.
                key = each.type, each.name, each.kind, each.diff()
                found.setdefault(key, (each, []))[1].append(proxy)
    return [
        Change(each.type, each.name, each.kind, each.old, each.new, tuple(proxies))
        for each, proxies in found.values()
    ]


def _of_type(kind: str, old: Mapping[str, Message], new: Mapping[str, Message]) -> list[Change]:
    found = []
    for name in sorted({*old, *new}):
        before, after = old.get(name), new.get(name)
        if before == after:
            continue
        what: Kind = "added" if before is None else "removed" if after is None else "changed"
        found.append(Change(kind, name, what, _text(before), _text(after)))
    return found


def _text(message: Message | None) -> str:
    if message is None:
        return ""
    return yaml.safe_dump(message.to_dict(), sort_keys=True, allow_unicode=True)
