"""exportTo: which namespaces may see a VirtualService, a DestinationRule or a service.

``*`` is everybody, the default; ``.`` the own namespace; ``~`` nobody; else a namespace's name.
A team keeps a rule to itself with ``exportTo: ["."]``.  The field is ``spec.exportTo``; for a
Kubernetes Service it is the annotation ``networking.istio.io/exportTo`` (``export_to`` of a
topology's service).
Source: istio/istio ``pkg/config/visibility``, ``pilot/pkg/model/push_context.go``.
Shown by ``meshctl proxy-config cluster POD``: what is not exported to a pod is not there.
"""

from __future__ import annotations

from collections.abc import Iterable

PUBLIC, PRIVATE = "*", "."


def namespaces(values: Iterable[str] | None, own: str) -> frozenset[str]:
    """Return the namespaces that ``values`` name; ``*`` stands for all, ``~`` for none."""
    named = list(values or ()) or [PUBLIC]
    return frozenset(own if each == PRIVATE else each for each in named if each != "~")


def visible(values: Iterable[str] | None, own: str, client: str) -> bool:
    """True when ``client`` may see what stands in the namespace ``own``."""
    return bool(namespaces(values, own) & {PUBLIC, client})


def private(values: Iterable[str] | None, own: str) -> bool:
    """True when only the own namespace may see it."""
    return namespaces(values, own) == {own}
