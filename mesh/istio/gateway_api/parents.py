"""parentRefs: where an HTTPRoute works.

A VirtualService names hosts, and gateways or ``mesh``.  An HTTPRoute names parents: a Gateway
(its rules work at that gateway, for the hosts that route and listener share) or a Service (its
rules work in the callers' sidecars, the initiative calls it GAMMA; ``hostnames`` do not count
then).  ``sectionName`` picks one listener, ``port`` a port of the Gateway or of the Service.
A parent that is not there, or does not let the route in, leaves the route without effect.
Shown by ``meshctl analyze FILE`` (KIT0114) and ``meshctl describe service NAME``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mesh.istio.gateway_api.listeners import OpenListener
from mesh.istio.gateway_api.objects import GROUP, Named, hostname
from mesh.istio.models.gateway_api import HTTPRoute, ParentReference

MESH = "mesh"
MAX_PARENTS = 32
MAX_HOSTNAMES = 16
"""The API server refuses more."""
Listeners = Mapping[str, Sequence[OpenListener]]
"""Listeners by their Gateway, ``namespace/name``."""


@dataclass(frozen=True, slots=True)
class Attachment:
    """One host at one place: ``gateway`` is ``mesh`` or the key of a listener; ``port`` 0: all."""

    gateway: str
    host: str
    port: int = 0


def attachments(route: Named[HTTPRoute], listeners: Listeners) -> tuple[Attachment, ...]:
    """Return where a route works, each place once."""
    found: list[Attachment] = []
    for ref in (route.spec.parent_refs or [])[:MAX_PARENTS]:
        if is_service(ref):
            host = hostname(ref.name, ref.namespace or route.namespace)
            found.append(Attachment(MESH, host, ref.port or 0))
        elif is_gateway(ref):
            found += _at_gateway(route, ref, listeners)
    return tuple(dict.fromkeys(found))


def is_service(ref: ParentReference) -> bool:
    """True for a Service: the route is for the callers' sidecars."""
    return (ref.kind, ref.group) == ("Service", "")


def is_gateway(ref: ParentReference) -> bool:
    """True for a Gateway, which is what a parent is unless it says otherwise."""
    return (ref.kind or "Gateway") == "Gateway" and (GROUP if ref.group is None else ref.group) == (
        GROUP
    )


def of_parent(ref: ParentReference, namespace: str, listeners: Listeners) -> list[OpenListener]:
    """Return the listeners that a parentRef of a route in ``namespace`` means."""
    return [
        each
        for each in listeners.get(f"{ref.namespace or namespace}/{ref.name}", ())
        if ref.section_name in (None, each.section) and ref.port in (None, each.port)
    ]


def shared_host(route_host: str, listener_host: str) -> str:
    """Return the host that both serve, the narrower of two that cover each other; empty: none."""
    if _covers(listener_host, route_host):
        return route_host
    return listener_host if _covers(route_host, listener_host) else ""


def _at_gateway(
    route: Named[HTTPRoute], ref: ParentReference, listeners: Listeners
) -> list[Attachment]:
    found: list[Attachment] = []
    for listener in of_parent(ref, route.namespace, listeners):
        if not listener.allows(route.namespace):
            continue
        for name in (route.spec.hostnames or ["*"])[:MAX_HOSTNAMES]:
            host = shared_host(name.lower(), listener.hostname.lower())
            if host and not _taken(host, listener, listeners[listener.parent]):
                found.append(Attachment(listener.key, host))
    return found


def _taken(host: str, own: OpenListener, listeners: Sequence[OpenListener]) -> bool:
    """True when a more exact listener of the same port is the one for this host."""
    return any(
        other.port == own.port
        and len(other.hostname) > len(own.hostname)
        and _covers(other.hostname.lower(), host)
        for other in listeners
    )


def _covers(pattern: str, host: str) -> bool:
    if pattern in ("*", host):
        return True
    return pattern.startswith("*.") and host.endswith(pattern[1:]) and len(host) >= len(pattern)
