"""IST0134, IST0177: ServiceEntries whose protocol cannot work as it is written.

TCP carries no host name, so only the address tells one outside host from another; it may be given
by hand or by the control plane.  Two entries for one host and port must agree on what is spoken
there.
Source: istio/istio ``pkg/config/analysis/analyzers/serviceentry``.
"""

from __future__ import annotations

from collections.abc import Iterator

from mesh.istio.analyze.context import Context
from mesh.istio.analyze.registry import scopes_of
from mesh.istio.models.service_entry import ServiceEntry
from mesh.istio.nearest import listed
from mesh.istio.problem import Level, Problem
from mesh.istio.resource import Resource

_ALLOCATE = ("ISTIO_META_DNS_AUTO_ALLOCATE", "PILOT_ENABLE_IP_AUTOALLOCATE")


def entry_addresses(context: Context) -> Iterator[Problem]:
    """Find TCP ports of ServiceEntries without addresses."""
    if _allocates(context):
        return
    for resource in context.by_kind.get("ServiceEntry", ()):
        spec = resource.spec
        if not isinstance(spec, ServiceEntry) or spec.addresses:
            continue
        if resource.source.value("status.addresses"):
            continue
        for index, port in enumerate(spec.ports or ()):
            if (port.protocol or "").upper() in ("", "TCP"):
                yield resource.problem(
                    "IST0134",
                    Level.WARNING,
                    "ServiceEntry addresses are required for this protocol.",
                    f"spec.ports[{index}]",
                    hint="Add `addresses:`, or say the protocol that is spoken (HTTP, TLS).",
                )


def _allocates(context: Context) -> bool:
    """True when meshConfig says that hosts without an address are given one."""
    defaults = (context.mesh_config or {}).get("defaultConfig")
    said = defaults.get("proxyMetadata") if isinstance(defaults, dict) else None
    if not isinstance(said, dict) or said.get("ISTIO_META_DNS_CAPTURE") != "true":
        return False
    return any(said.get(each) == "true" for each in _ALLOCATE)


def entry_protocols(context: Context) -> Iterator[Problem]:
    """Find ServiceEntries that disagree about the protocol of one host and port."""
    found: dict[tuple[str, int], list[tuple[Resource, str, int]]] = {}
    for resource in context.by_kind.get("ServiceEntry", ()):
        spec = resource.spec
        if not isinstance(spec, ServiceEntry):
            continue
        for host in spec.hosts:
            for index, port in enumerate(spec.ports or ()):
                entry = resource, (port.protocol or "").upper(), index
                found.setdefault((host.lower(), port.number), []).append(entry)
    told: set[int] = set()
    for (host, number), entries in found.items():
        for resource, protocol, index in entries:
            rivals = [each for each in entries if _meet(resource, each[0])]
            protocols = sorted({each[1] or "unset" for each in rivals})
            if len(protocols) < 2 or id(resource) in told:
                continue
            told.add(id(resource))
            names = dict.fromkeys(f"{each[0].namespace}/{each[0].name}" for each in rivals)
            yield resource.problem(
                "IST0177",
                Level.WARNING,
                f"Multiple ServiceEntries ({listed(names)}) define the same host "
                f'"{host}" and port {number} with conflicting protocols ({", ".join(protocols)}).',
                f"spec.ports[{index}].protocol" if protocol else f"spec.ports[{index}]",
                hint="Use one protocol in all of them, or put the host into one ServiceEntry.",
            )


def _meet(one: Resource, other: Resource) -> bool:
    """True when some namespace sees both."""
    mine, theirs = _scopes(one), _scopes(other)
    return "*" in mine or "*" in theirs or bool(mine & theirs)


def _scopes(resource: Resource) -> set[str]:
    spec = resource.spec
    said = spec.export_to if isinstance(spec, ServiceEntry) else None
    return scopes_of(said or (), resource.namespace)
