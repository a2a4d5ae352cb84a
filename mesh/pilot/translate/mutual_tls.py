"""Mutual TLS: the mesh's own encryption, in which both sides show who they are.

The server's sidecar requires a certificate of the mesh (any workload's), the client's sidecar one
with the SPIFFE id of an account that runs the service it asked for.  Certificates come from files
that the sidecar's agent keeps (``mesh.agent.sds``), by names relative to the pod's folder, so the
configuration is the same for every pod.  The ALPN name ``istio`` tells mesh TLS from any other.
Which port wants it: ``mesh.pilot.translate.peer_authentication``; who uses it:
``mesh.pilot.translate.client_tls``.
Source: istio/istio ``pilot/pkg/security/model/authentication.go``.
Shown by ``meshctl proxy-config secret POD``.
"""

from __future__ import annotations

from functools import lru_cache

from envoy_data_plane.envoy.config.core.v3 import (
    ApiVersion,
    ConfigSource,
    PathConfigSource,
    TransportSocket,
)
from envoy_data_plane.envoy.extensions.transport_sockets.tls.v3 import (
    CertificateValidationContext,
    CommonTlsContext,
    CommonTlsContextCombinedCertificateValidationContext,
    DownstreamTlsContext,
    SdsSecretConfig,
    SubjectAltNameMatcher,
    SubjectAltNameMatcherSanType,
    TlsParameters,
    TlsParametersTlsProtocol,
    UpstreamTlsContext,
)
from envoy_data_plane.envoy.type.matcher.v3 import StringMatcher

from mesh.citadel.identity import SCHEME, TRUST_DOMAIN
from mesh.pilot.encode import sealed
from mesh.pilot.translate import messages

TRANSPORT_SOCKET = "envoy.transport_sockets.tls"
OWN_CHAIN, OWN_ROOTS = "/etc/certs/cert-chain.pem", "/etc/certs/root-cert.pem"
"""Where Istio until 1.4 put a workload's certificate and the mesh's root."""
SECRETS_ARE_FETCHED = (1, 5)
"""Release from which on sidecars have certificates by SDS, and no such files."""
ALPN = "istio"
"""What a client's sidecar offers, so that the server's tells it from other TLS."""
PEERS = ["istio-peer-exchange", ALPN, "istio-http/1.0", "istio-http/1.1", "istio-h2"]
"""What Istio's releases have offered over time; a server's sidecar takes them all."""


def upstream(identities: list[str], sni: str, *, http2: bool) -> TransportSocket:
    """Return the client's side: ``identities`` are the SPIFFE ids that may answer."""
    context = UpstreamTlsContext(common_tls_context=_client(tuple(identities), http2), sni=sni)
    return TransportSocket(name=TRANSPORT_SOCKET, typed_config=messages.pack(context))


@lru_cache(maxsize=1024)
def _client(identities: tuple[str, ...], http2: bool) -> CommonTlsContext:
    """Return what all clusters of a service have in common; nobody may change it."""
    names = [_uri(StringMatcher(exact=each)) for each in identities]
    return sealed(_common(names, [ALPN, "h2"] if http2 else [ALPN]))


def downstream() -> TransportSocket:
    """Return the server's side: whoever is of this trust domain may call."""
    anybody = [_uri(StringMatcher(prefix=f"{SCHEME}{TRUST_DOMAIN}/"))]
    common = _common(anybody, ["h2", "http/1.1"])
    common.tls_params = TlsParameters(tls_minimum_protocol_version=TlsParametersTlsProtocol.TLSv1_2)
    context = DownstreamTlsContext(common_tls_context=common, require_client_certificate=True)
    return TransportSocket(name=TRANSPORT_SOCKET, typed_config=messages.pack(context))


def _common(names: list[SubjectAltNameMatcher], alpn: list[str]) -> CommonTlsContext:
    return CommonTlsContext(
        alpn_protocols=alpn,
        tls_certificate_sds_secret_configs=[secret("default")],
        combined_validation_context=CommonTlsContextCombinedCertificateValidationContext(
            default_validation_context=CertificateValidationContext(
                match_typed_subject_alt_names=names
            ),
            validation_context_sds_secret_config=secret("ROOTCA"),
        ),
    )


def secret(name: str) -> SdsSecretConfig:
    """Return the reference to a secret that the pod's agent keeps in a file."""
    source = PathConfigSource(path=f"sds/{name}.json")
    return SdsSecretConfig(
        name=name,
        sds_config=ConfigSource(path_config_source=source, resource_api_version=ApiVersion.V3),
    )


def _uri(matcher: StringMatcher) -> SubjectAltNameMatcher:
    return SubjectAltNameMatcher(san_type=SubjectAltNameMatcherSanType.URI, matcher=matcher)
