"""Delegate: a VirtualService that hands the rules of a path over to another team.

The root has the hosts (``spec.hosts``) and, in a rule, ``delegate: {name, namespace}`` instead of
a destination; the delegate is a VirtualService without hosts.  istiod merges the two before it
translates: the conditions of both must hold, what the delegate does not set is taken from the
root's rule.  A rule of the delegate that no request could reach past the root's conditions is
dropped, alone; so is a root's rule whose delegate is not there or not exported to the root.
Source: istio/istio ``pilot/pkg/model/virtualservice.go`` (mergeVirtualServicesIfNeeded).
Shown by ``meshctl proxy-config route POD``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mesh.istio.models.base import StringMatch
from mesh.istio.models.virtual_service import HTTPMatchRequest, HTTPRoute, VirtualService
from mesh.pilot.translate import export_to

_INHERITED = (
    "rewrite",
    "direct_response",
    "timeout",
    "retries",
    "fault",
    "mirror",
    "mirrors",
    "mirror_percent",
    "mirror_percentage",
    "cors_policy",
    "headers",
)
_CONDITIONS = ("uri", "scheme", "method", "authority")
_MAPS = ("headers", "without_headers", "query_params")


@dataclass(frozen=True, slots=True)
class Placed:
    """A VirtualService with its name and namespace."""

    name: str
    namespace: str
    spec: VirtualService


def merge(placed: Sequence[Placed]) -> list[Placed]:
    """Return the VirtualServices that have hosts: those without delegates, then merged roots."""
    delegates = {(each.namespace, each.name): each for each in placed if not each.spec.hosts}
    whole = [each for each in placed if each.spec.hosts]
    roots = [each for each in whole if any(rule.delegate for rule in each.spec.http or [])]
    plain = [each for each in whole if each not in roots]
    return plain + [_merged(root, delegates) for root in roots]


def _merged(root: Placed, delegates: Mapping[tuple[str, str], Placed]) -> Placed:
    rules: list[HTTPRoute] = []
    for rule in root.spec.http or []:
        if rule.delegate is None:
            rules.append(rule)
            continue
        namespace = rule.delegate.namespace or root.namespace
        found = delegates.get((namespace, rule.delegate.name or ""))
        if found is not None and export_to.visible(
            found.spec.export_to, found.namespace, root.namespace
        ):
            rules += merge_routes(rule, found.spec.http or [])
    return Placed(root.name, root.namespace, root.spec.model_copy(update={"http": rules}))


def merge_routes(root: HTTPRoute, delegate: Sequence[HTTPRoute]) -> list[HTTPRoute]:
    """Return the delegate's rules below the root's; those that contradict it are left out."""
    merged = (_merge_route(root, each) for each in delegate)
    return [each for each in merged if each is not None]


def _merge_route(root: HTTPRoute, leaf: HTTPRoute) -> HTTPRoute | None:
    match = merge_matches(root.match or [], leaf.match or [])
    if match is None:
        return None
    update: dict[str, object] = {"match": match or None, "name": _name(root.name, leaf.name)}
    for field in _INHERITED:
        if getattr(leaf, field) is None:
            update[field] = getattr(root, field)
    return leaf.model_copy(update=update)


def merge_matches(
    root: Sequence[HTTPMatchRequest], leaf: Sequence[HTTPMatchRequest]
) -> list[HTTPMatchRequest] | None:
    """Return the blocks that mean both; None when a block of the leaf fits no block of the root."""
    if not root or not leaf:
        return list(root or leaf)
    found: list[HTTPMatchRequest] = []
    for below in leaf:
        fitting = [above for above in root if not conflict(above, below)]
        if not fitting:
            return None
        found += [_merge_match(above, below) for above in fitting]
    return found


def _merge_match(root: HTTPMatchRequest, leaf: HTTPMatchRequest) -> HTTPMatchRequest:
    update: dict[str, object] = {"name": _name(root.name, leaf.name)}
    for field in (*_CONDITIONS, "port", "source_namespace", "gateways", "stat_prefix"):
        if not getattr(leaf, field):
            update[field] = getattr(root, field)
    for field in (*_MAPS, "source_labels"):
        both = {**(getattr(root, field) or {}), **(getattr(leaf, field) or {})}
        update[field] = both or None
    return leaf.model_copy(update=update)


def _name(root: str | None, leaf: str | None) -> str | None:
    return f"{root}-{leaf}" if root and leaf else leaf or root


def conflict(root: HTTPMatchRequest, leaf: HTTPMatchRequest) -> bool:
    """True when ``leaf`` is not surely within ``root``."""
    if any(_differ(getattr(root, each), getattr(leaf, each)) for each in _CONDITIONS):
        return True
    for field in _MAPS:
        above = getattr(root, field) or {}
        if any(_differ(above.get(k), v) for k, v in (getattr(leaf, field) or {}).items()):
            return True
    if bool(root.ignore_uri_case) != bool(leaf.ignore_uri_case):
        return True
    if root.port and leaf.port and root.port != leaf.port:
        return True
    if root.source_namespace and leaf.source_namespace != root.source_namespace:
        return True
    labels = root.source_labels or {}
    if any(labels.get(key, value) != value for key, value in (leaf.source_labels or {}).items()):
        return True
    return bool(root.gateways and leaf.gateways) and not set(leaf.gateways or ()) <= set(
        root.gateways or ()
    )


def _differ(root: StringMatch | None, leaf: StringMatch | None) -> bool:
    """True unless ``leaf`` is the same as ``root`` or narrower; a regex fits nothing but nothing."""
    if root is None or leaf is None:
        return False
    if root.regex or leaf.regex:
        return True
    if root.exact:
        return leaf.exact != root.exact
    if root.prefix:
        return not (leaf.prefix or leaf.exact or "").startswith(root.prefix)
    return True
