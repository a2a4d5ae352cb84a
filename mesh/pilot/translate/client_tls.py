"""Client TLS: how a sidecar encrypts on the way to a service.

``trafficPolicy.tls.mode`` of a DestinationRule: DISABLE (plain text), SIMPLE (TLS, as a browser does),
MUTUAL (with a certificate of one's own; both ``mesh.pilot.translate.originated_tls``), ISTIO_MUTUAL (the mesh's: ``mesh.pilot.translate.mutual_tls``).
Without it, and from 1.5 on, mTLS is automatic: where the pods behind a cluster have a sidecar whose
PeerAuthentication is not DISABLE; so it is for the pods that a ServiceEntry of the mesh (MESH_INTERNAL)
selects.  The server's identity has to be one of the service's accounts.
Source: istio/istio ``pilot/pkg/networking/core/cluster_tls.go``.
Shown by ``meshctl proxy-config cluster POD -o json``.
"""

from __future__ import annotations

from envoy_data_plane.envoy.config.cluster.v3 import Cluster, ClusterTransportSocketMatch
from envoy_data_plane.envoy.config.core.v3 import TransportSocket
from envoy_data_plane.envoy.extensions.transport_sockets.raw_buffer.v3 import RawBuffer

from mesh.citadel.identity import spiffe_id
from mesh.istio.models.destination_rule import ClientTLSSettings
from mesh.pilot.registry import Endpoint
from mesh.pilot.translate import messages, mutual_tls, originated_tls, peer_authentication
from mesh.pilot.translate.service_entry import EntryService
from mesh.pilot.translate.view import MeshView
from mesh.topology import ISTIO, TLS_MODE

_HTTP2 = ("http2", "grpc")
MATCH = {"tlsMode": ISTIO}
"""Metadata ``envoy.transport_socket_match`` of endpoints that speak mutual TLS."""


def apply(
    cluster: Cluster,
    view: MeshView,
    hostname: str,
    port: int,
    protocol: str,
    subset: str,
    labels: dict[str, str] | None,
    tls: ClientTLSSettings | None,
) -> None:
    """Give an outbound cluster its transport socket; ``labels`` are those of its subset."""
    mode = tls.mode if tls is not None else None
    if tls is not None and mode in ("SIMPLE", "MUTUAL"):
        cluster.transport_socket = originated_tls.socket(
            view, tls, hostname, http2=protocol in _HTTP2
        )
        return
    if mode == "DISABLE" or (mode is None and not view.era.auto_mtls):
        return
    service = view.service(hostname)
    if isinstance(service, EntryService) and service.external and mode is None:
        return
    endpoints = view.endpoints(hostname, port, labels)
    able = [each for each in endpoints if speaks_mtls(view, hostname, each, port)]
    known = identities(view, hostname)
    if tls is not None and tls.subject_alt_names:
        known = tls.subject_alt_names
    sni = tls.sni if tls is not None and tls.sni else f"outbound_.{port}_.{subset}_.{hostname}"
    socket = mutual_tls.upstream(known, sni, http2=protocol in _HTTP2)
    if mode == "ISTIO_MUTUAL" or (able and len(able) == len(endpoints)):
        cluster.transport_socket = socket
    elif able:
        cluster.transport_socket_matches = [
            ClusterTransportSocketMatch(
                name="tlsMode-istio", match=messages.struct(MATCH), transport_socket=socket
            ),
            ClusterTransportSocketMatch(
                name="tlsMode-disabled",
                match=messages.struct({}),
                transport_socket=TransportSocket(
                    name="envoy.transport_sockets.raw_buffer",
                    typed_config=messages.pack(RawBuffer()),
                ),
            ),
        ]


def speaks_mtls(view: MeshView, hostname: str, endpoint: Endpoint, port: int) -> bool:
    """True when the endpoint's sidecar takes mutual TLS on the service port."""
    if endpoint.labels.get(TLS_MODE) != ISTIO:
        return False
    service = view.service(hostname)
    namespace = service.namespace if service is not None else ""
    labels = endpoint.labels

    def decide() -> bool:
        return peer_authentication.mode(view, namespace, labels, (hostname,), port) != "DISABLE"

    return view.ask("mTLS", (hostname, port, frozenset(labels.items())), decide)


def identities(view: MeshView, hostname: str) -> list[str]:
    """Return the SPIFFE ids of all accounts that run a service, also where no pod runs now."""
    service = view.service(hostname)
    if service is None:
        return []
    if isinstance(service, EntryService):
        return view.entry_identities(service)
    accounts = {each.service_account for each in service.workloads}
    accounts |= {each.service_account for each in view.registry.pods_of(hostname)}
    return sorted(spiffe_id(service.namespace, each) for each in accounts)
