"""IST0134: a ServiceEntry whose protocol needs addresses and has none.

TCP carries no host name, so only the address tells one outside host from another.
"""

from __future__ import annotations

from collections.abc import Iterator

from mesh.istio.analyze.context import Context
from mesh.istio.models.service_entry import ServiceEntry
from mesh.istio.problem import Level, Problem


def entry_addresses(context: Context) -> Iterator[Problem]:
    """Find TCP ports of ServiceEntries without addresses."""
    for resource in context.by_kind.get("ServiceEntry", ()):
        spec = resource.spec
        if not isinstance(spec, ServiceEntry) or spec.addresses:
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
