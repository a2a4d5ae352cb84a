"""ProxyNode: one data plane proxy as the control plane knows it.

In a real mesh istiod reads this from the xDS Node (its id, labels and metadata) and from the
Kubernetes pod behind it.  Here the testbed registers a node before it starts the proxy, so that
the node id alone is enough when Envoy or the mitmproxy sidecar connects.
See the nodes with ``meshctl proxy-status``.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from mesh.topology import DOMAIN_SUFFIX


@dataclass(frozen=True, slots=True)
class ProxyNode:
    """A sidecar (``kind="sidecar"``) or a gateway (``kind="router"``).

    ``inbound`` maps service port -> the port the sidecar listens on for it; the application
    listens on the Unix socket ``app_socket``.  ``outbound_port`` takes what the application sends
    through ``http_proxy`` (0 at a gateway).  ``gateway_ports`` maps a Gateway server's port -> the
    port listened on.  ``engine`` is ``mitmproxy`` or ``envoy``.
    """

    pod: str
    namespace: str
    kind: str = "sidecar"
    engine: str = "mitmproxy"
    labels: dict[str, str] = field(default_factory=dict)
    service_account: str = "default"
    address: str = "127.0.0.1"
    admin_port: int = 0
    inbound: dict[int, int] = field(default_factory=dict)
    outbound_port: int = 0
    app_socket: str = ""
    access_log: str = ""
    gateway_ports: dict[int, int] = field(default_factory=dict)

    @property
    def id(self) -> str:
        """Istio's node id: ``type~address~pod.namespace~namespace.svc.domain``."""
        return (
            f"{self.kind}~{self.address}~{self.pod}.{self.namespace}"
            f"~{self.namespace}.svc.{DOMAIN_SUFFIX}"
        )

    def as_dict(self) -> dict[str, Any]:
        """The JSON form, read back by ``from_dict``."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> ProxyNode:
        """Read the JSON form (whose keys are strings).  Raises TypeError on an unknown key."""
        numbered = ("inbound", "gateway_ports")
        fixed = {key: {int(k): v for k, v in data[key].items()} for key in numbered if key in data}
        return cls(**{**data, **fixed})
