"""TLS at a gateway: the certificate of each server, and whose clients it takes.

``tls.mode`` of a server: SIMPLE shows a certificate, MUTUAL asks the client for one too (signed by
``ca.crt``), PASSTHROUGH does not open the connection and routes by its server name (``tls`` routes of a
VirtualService), ISTIO_MUTUAL speaks the mesh's own mTLS.  The certificate is in files, or in a
Secret of the gateway pod's namespace (``credentialName``: ``tls.crt``, ``tls.key``, ``ca.crt``; or
``NAME-cacert`` for the roots alone).  Without its Secret a server takes no connection.
Source: istio/istio ``pilot/pkg/networking/core/gateway.go`` (buildGatewayListenerTLSContext),
``pilot/pkg/credentials/kube/secrets.go``.
Shown by ``meshctl proxy-config listener GATEWAY -o json`` (keys are left out).
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass

from envoy_data_plane.envoy.config.core.v3 import DataSource, TransportSocket
from envoy_data_plane.envoy.extensions.transport_sockets.tls.v3 import (
    CertificateValidationContext,
    CommonTlsContext,
    DownstreamTlsContext,
    SubjectAltNameMatcher,
    SubjectAltNameMatcherSanType,
    TlsCertificate,
    TlsParameters,
    TlsParametersTlsProtocol,
)
from envoy_data_plane.envoy.type.matcher.v3 import StringMatcher

from mesh.istio.models.gateway import Server, ServerTLSSettings
from mesh.istio.models.kubernetes import ConfigData
from mesh.pilot.node import ProxyNode
from mesh.pilot.translate import messages, mutual_tls
from mesh.pilot.translate.view import MeshView

PASSTHROUGH = "PASSTHROUGH"
_VERSIONS = {
    "TLSV1_0": TlsParametersTlsProtocol.TLSv1_0,
    "TLSV1_1": TlsParametersTlsProtocol.TLSv1_1,
    "TLSV1_2": TlsParametersTlsProtocol.TLSv1_2,
    "TLSV1_3": TlsParametersTlsProtocol.TLSv1_3,
}


def mode(server: Server) -> str:
    """Return the mode of a TLS server; PASSTHROUGH when it says nothing."""
    return (server.tls.mode if server.tls is not None else None) or PASSTHROUGH


def refuse_unknown(gateway: str, server: Server) -> None:
    """Raise ValueError for a mode that this mesh cannot execute."""
    if mode(server) == "AUTO_PASSTHROUGH":
        raise ValueError(
            f"Gateway {gateway}: tls.mode AUTO_PASSTHROUGH leads between meshes by the names of their "
            "clusters, and this is a single mesh: use PASSTHROUGH with sniHosts in a VirtualService"
        )


def socket(
    view: MeshView, node: ProxyNode, server: Server, alpn: list[str]
) -> TransportSocket | None:
    """Return the transport socket of a server that ends TLS; None while its Secret is missing."""
    tls = server.tls or ServerTLSSettings()
    if mode(server) == "ISTIO_MUTUAL":
        return mutual_tls.downstream()
    if _mounted(view, tls):
        return mutual_tls.downstream()
    certificate, roots = _material(view, node, tls)
    if certificate is None:
        return None
    common = CommonTlsContext(tls_certificates=[certificate], alpn_protocols=alpn)
    common.tls_params = _parameters(tls)
    required = mode(server) == "MUTUAL"
    if required or mode(server) == "OPTIONAL_MUTUAL":
        if roots is None:
            return None
        common.validation_context = CertificateValidationContext(
            trusted_ca=roots, match_typed_subject_alt_names=_names(tls.subject_alt_names or [])
        )
    context = DownstreamTlsContext(common_tls_context=common, require_client_certificate=required)
    return TransportSocket(name=mutual_tls.TRANSPORT_SOCKET, typed_config=messages.pack(context))


def _mounted(view: MeshView, tls: ServerTLSSettings) -> bool:
    """Whether the server shows its own certificate of the mesh and wants one of its callers.

    Until Istio 1.4 rules said so by naming the files of ``/etc/certs``.
    """
    own = (tls.server_certificate, tls.ca_certificates)
    return (
        tls.mode == "MUTUAL"
        and view.era.release < mutual_tls.SECRETS_ARE_FETCHED
        and own == (mutual_tls.OWN_CHAIN, mutual_tls.OWN_ROOTS)
    )


def _parameters(tls: ServerTLSSettings) -> TlsParameters:
    made = TlsParameters(tls_minimum_protocol_version=TlsParametersTlsProtocol.TLSv1_2)
    if tls.min_protocol_version in _VERSIONS:
        made.tls_minimum_protocol_version = _VERSIONS[tls.min_protocol_version]
    if tls.max_protocol_version in _VERSIONS:
        made.tls_maximum_protocol_version = _VERSIONS[tls.max_protocol_version]
    made.cipher_suites = list(tls.cipher_suites or [])
    return made


def _names(wanted: list[str]) -> list[SubjectAltNameMatcher]:
    """Return matchers of names as the user writes them: SPIFFE ids or DNS names."""
    kind = SubjectAltNameMatcherSanType
    return [
        SubjectAltNameMatcher(
            san_type=kind.URI if "://" in each else kind.DNS, matcher=StringMatcher(exact=each)
        )
        for each in wanted
    ]


def _material(
    view: MeshView, node: ProxyNode, tls: ServerTLSSettings
) -> tuple[TlsCertificate | None, DataSource | None]:
    """Return the certificate with its key, and the roots for clients' certificates."""
    if not tls.credential_name:
        if not tls.server_certificate or not tls.private_key:
            return None, None
        roots = DataSource(filename=tls.ca_certificates) if tls.ca_certificates else None
        return (
            TlsCertificate(
                certificate_chain=DataSource(filename=tls.server_certificate),
                private_key=DataSource(filename=tls.private_key),
            ),
            roots,
        )
    found = material(view, node.namespace, tls.credential_name)
    return found.certificate, found.roots


@dataclass(frozen=True, slots=True)
class Material:
    """What a Secret has: a certificate with its key, and roots."""

    certificate: TlsCertificate | None = None
    roots: DataSource | None = None


def material(view: MeshView, namespace: str, name: str) -> Material:
    """Read a Secret, and ``NAME-cacert`` for the roots; nothing where there is none."""
    found = credential(view, namespace, name)
    chain = found.get("tls.crt") or found.get("cert")
    key = found.get("tls.key") or found.get("key")
    apart = credential(view, namespace, f"{name}-cacert")
    ca = apart.get("ca.crt") or apart.get("cacert") or found.get("ca.crt") or found.get("cacert")
    certificate = None
    if chain is not None and key is not None:
        certificate = TlsCertificate(
            certificate_chain=DataSource(inline_bytes=chain),
            private_key=DataSource(inline_bytes=key),
        )
    return Material(certificate, DataSource(inline_bytes=ca) if ca is not None else None)


def credential(view: MeshView, namespace: str, name: str) -> dict[str, bytes]:
    """Return the entries of a Secret; empty when there is none, ValueError when it is no base64."""
    for each in view.of_kind("Secret", namespace):
        if each.name != name:
            continue
        spec: ConfigData = each.spec
        found: dict[str, bytes] = {}
        for key, value in (spec.data or {}).items():
            try:
                found[key] = base64.b64decode("".join(value.split()), validate=True)
            except binascii.Error:
                raise ValueError(f"Secret {namespace}/{name}: data.{key} is not base64") from None
        return found | {key: text.encode() for key, text in (spec.string_data or {}).items()}
    return {}
