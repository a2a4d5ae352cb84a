"""Gateway: the ports and hosts that an ingress or egress gateway listens to.

A Gateway opens ports on the pods its ``selector`` picks; what comes in is routed by the
VirtualServices that name it under ``gateways``.  A gateway is an Envoy like a sidecar, without an
application next to it.
Fields: istio/api ``networking/v1alpha3/gateway.proto``.
Shown by ``meshctl proxy-config listener GATEWAY``.
"""

from __future__ import annotations

from typing import Literal

from mesh.istio.models.base import Model, StringMap, UInt32

TLSProtocol = Literal["TLS_AUTO", "TLSV1_0", "TLSV1_1", "TLSV1_2", "TLSV1_3"]


class Port(Model):
    """A port that a gateway or sidecar opens."""

    number: UInt32 | None = None
    protocol: str | None = None
    name: str | None = None
    target_port: UInt32 | None = None


class TLSCertificate(Model):
    """A pair of certificate and key."""

    server_certificate: str | None = None
    private_key: str | None = None
    ca_certificates: str | None = None


class ServerTLSSettings(Model):
    """How the server side encrypts."""

    https_redirect: bool | None = None
    mode: (
        Literal[
            "PASSTHROUGH", "SIMPLE", "MUTUAL", "AUTO_PASSTHROUGH", "ISTIO_MUTUAL", "OPTIONAL_MUTUAL"
        ]
        | None
    ) = None
    server_certificate: str | None = None
    private_key: str | None = None
    ca_certificates: str | None = None
    ca_crl: str | None = None
    ca_cert_credential_name: str | None = None
    credential_name: str | None = None
    credential_names: list[str] | None = None
    tls_certificates: list[TLSCertificate] | None = None
    subject_alt_names: list[str] | None = None
    verify_certificate_spki: list[str] | None = None
    verify_certificate_hash: list[str] | None = None
    min_protocol_version: TLSProtocol | None = None
    max_protocol_version: TLSProtocol | None = None
    cipher_suites: list[str] | None = None
    ecdh_curves: list[str] | None = None
    insecure_skip_verify: bool | None = None


class Server(Model):
    """One port and its hosts (``ns/host`` limits who may bind routes to it)."""

    port: Port
    bind: str | None = None
    hosts: list[str]
    tls: ServerTLSSettings | None = None
    default_endpoint: str | None = None
    name: str | None = None


class Gateway(Model):
    """``spec`` of a Gateway."""

    servers: list[Server] | None = None
    selector: StringMap | None = None
