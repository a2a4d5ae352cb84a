"""Name table: what a sidecar's DNS answers, every name of every service that its pod may call.

In a real mesh istiod sends it to the agent beside Envoy (``NameTable``, the type of xDS that
Istio calls NDS, with ``ISTIO_META_DNS_CAPTURE``).  ``preference``, ``preference.tutorial`` and the
full name lead to the Service's virtual address, the host of a ServiceEntry to its ``addresses`` or
to one that was given to it.  What is not in it goes on to the resolver of the pod: names that
nobody has, services that this sidecar does not import, and those whose balancer is PASSTHROUGH or
whose resolution is NONE, for the caller of those has to look a pod's (a host's) own address up.
Source: istio/istio ``pkg/dns/server/name_table.go``.
Shown by ``meshctl exec POD`` with a look-up, and by ``GET /names/NODE/0`` of the control plane.
"""

from __future__ import annotations

from mesh.pilot.node import ProxyNode
from mesh.pilot.translate import names, original_dst, traffic_policy
from mesh.pilot.translate.service_entry import EntryService
from mesh.pilot.translate.view import MeshView
from mesh.topology import Service

Table = dict[str, list[str]]
"""Name (``*.`` before it: every name below it) -> IPv4 addresses."""


def table(view: MeshView, node: ProxyNode) -> Table:
    """Return the names of a view that is cut down to ``node``; empty where nothing is captured."""
    found: Table = {}
    if not node.captured:
        return found
    for service in view.listed():
        places = addresses(view, service)
        if not places or looks_itself_up(view, service):
            continue
        for name in names.aliases(service.hostname, node.namespace):
            found.setdefault(name.lower(), places)
    return found


def addresses(view: MeshView, service: Service) -> list[str]:
    """Return the addresses that stand for a service."""
    if isinstance(service, EntryService) and service.addresses:
        return [each for each in service.addresses if ":" not in each]
    virtual = view.virtual_addresses.get(service.hostname)
    return [virtual] if virtual else []


def looks_itself_up(view: MeshView, service: Service) -> bool:
    """Whether the caller of a service has to know a real address of it."""
    rule = view.rule(service.hostname)
    subsets = ["", *(each.name for each in (rule.subsets if rule is not None else ()))]
    return any(
        original_dst.applies(view, service, traffic_policy.effective(rule, subset, port.number))
        for port in service.ports
        for subset in subsets
    )
