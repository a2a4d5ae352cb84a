"""ProxyNode: one sidecar or gateway, as the control plane knows it.

In a real mesh the sidecar says who it is in its bootstrap: the node id
``sidecar~IP~POD.NAMESPACE~NAMESPACE.svc.cluster.local`` and metadata (labels, service account).
Here the testbed registers it as well, so the node id alone is enough to find it again.
Source: istio/istio ``pkg/model/proxy.go`` (ParseServiceNodeWithMetadata).
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, Literal, cast

from envoy_data_plane.envoy.config.core.v3 import Node
from envoy_data_plane.google.protobuf import Struct

from mesh.citadel.identity import spiffe_id
from mesh.topology import DOMAIN_SUFFIX, ISTIO, TLS_MODE

NodeType = Literal["sidecar", "router"]
NODE = "node"
"""Word for a node (by its id) in ``mesh.pilot.memo``."""
METADATA_KEY = "MESH_LAB"
"""Key of the kit's own fields in the node metadata."""


@dataclass(frozen=True, slots=True)
class ProxyNode:
    """A data plane: who it is and where it listens.

    ``inbound_ports``: service port -> port of the inbound listener on 127.0.0.1;
    ``outbound_port``: the application's ``http_proxy``, 0 for none; ``app_socket``: Unix socket of
    the application; ``gateway_ports``: port of a Gateway's server -> port on 127.0.0.1;
    ``services``: host names the pod belongs to; ``tcp_ports``: ``host:port`` of a TCP service ->
    port on 127.0.0.1 by which its application reaches it; ``locality``: region/zone/subzone.
    In a container: ``bind`` is the address of the inbound listeners, the application listens on
    127.0.0.1:``app_port``, and the admin interface on the Unix socket ``admin_socket``.
    ``captured``: iptables brings what the application sends to ``outbound_port``, and its look-ups of
    names to the sidecar's DNS; there is no proxy then, and no port for each TCP service.
    """

    pod: str
    namespace: str
    type: NodeType = "sidecar"
    labels: dict[str, str] = field(default_factory=dict)
    service_account: str = "default"
    services: tuple[str, ...] = ()
    inbound_ports: dict[int, int] = field(default_factory=dict)
    outbound_port: int = 0
    app_socket: str = ""
    admin_port: int = 0
    access_log: str = ""
    gateway_ports: dict[int, int] = field(default_factory=dict)
    tcp_ports: dict[str, int] = field(default_factory=dict)
    address: str = "127.0.0.1"
    locality: str = ""
    bind: str = "127.0.0.1"
    app_port: int = 0
    admin_socket: str = ""
    captured: bool = False

    @property
    def admin(self) -> int | str:
        """Where its admin interface listens: a port of 127.0.0.1, or a Unix socket."""
        return self.admin_socket or self.admin_port

    @property
    def id(self) -> str:
        """Istio's node id, ``sidecar~127.0.0.1~customer-v1-0.tutorial~tutorial.svc.cluster.local``."""
        domain = f"{self.namespace}.svc.{DOMAIN_SUFFIX}"
        return f"{self.type}~{self.address}~{self.pod}.{self.namespace}~{domain}"

    @property
    def name(self) -> str:
        """``POD.NAMESPACE``, the NAME column of ``proxy-status``."""
        return f"{self.pod}.{self.namespace}"

    @property
    def spiffe_id(self) -> str:
        """Its identity, ``spiffe://cluster.local/ns/tutorial/sa/customer``."""
        return spiffe_id(self.namespace, self.service_account)

    @property
    def mtls(self) -> bool:
        """Whether its sidecar has a certificate, so that mutual TLS can be spoken with it."""
        return self.labels.get(TLS_MODE) == ISTIO

    def metadata(self) -> dict[str, Any]:
        """The node metadata: Istio's NAME, NAMESPACE, LABELS, SERVICE_ACCOUNT and the kit's own."""
        return {
            "NAME": self.pod,
            "NAMESPACE": self.namespace,
            "LABELS": dict(self.labels),
            "SERVICE_ACCOUNT": self.service_account,
            METADATA_KEY: self.as_dict(),
        }

    def as_dict(self) -> dict[str, Any]:
        """The JSON form; numbers that are keys become strings."""
        data = asdict(self)
        for key in ("inbound_ports", "gateway_ports"):
            data[key] = {str(port): listen for port, listen in data[key].items()}
        data["services"] = list(self.services)
        return data

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> ProxyNode:
        """Read ``as_dict``'s form; TypeError or ValueError when it is another one."""
        fields = dict(data)
        for key in ("inbound_ports", "gateway_ports"):
            ports = fields.get(key) or {}
            fields[key] = {int(port): int(listen) for port, listen in ports.items()}
        tcp = fields.get("tcp_ports") or {}
        fields["tcp_ports"] = {str(key): int(port) for key, port in tcp.items()}
        fields["services"] = tuple(fields.get("services") or ())
        for key in ("outbound_port", "admin_port", "app_port"):
            fields[key] = int(fields.get(key) or 0)
        return cls(**fields)

    def to_xds(self) -> Node:
        """The xDS node that a client sends in its first request."""
        service = self.services[0].split(".")[0] if self.services else self.pod
        return Node(
            id=self.id,
            cluster=f"{service}.{self.namespace}",
            metadata=cast(Struct, Struct.from_dict(self.metadata())),
        )

    @classmethod
    def from_xds(cls, node: Node) -> ProxyNode | None:
        """Read the metadata of an xDS node; None when it carries none of the kit's."""
        if node.metadata is None or METADATA_KEY not in node.metadata.fields:
            return None
        return cls.from_dict(node.metadata.to_dict()[METADATA_KEY])
