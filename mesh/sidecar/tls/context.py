"""TlsContext: a DownstreamTlsContext or UpstreamTlsContext, ready for handshakes.

In a mesh the server's sidecar presents its workload certificate and asks the client for its own
(PeerAuthentication STRICT and PERMISSIVE); the client's sidecar presents its certificate, sends
the server's name (SNI) and checks that the server is who the DestinationRule means
(``tls.mode: ISTIO_MUTUAL``).  The peer's names are checked inside the handshake, so whoever does not
pass gets an alert and no byte of the application.
See it with ``meshctl proxy-config secret POD`` and ``proxy-config listeners POD``.

Source: Envoy ``source/common/tls/context_impl.cc``, ``api/.../transport_sockets/tls/v3/common.proto``.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from envoy_data_plane.envoy.extensions.transport_sockets.tls.v3 import (
    CertificateValidationContext,
    CertificateValidationContextTrustChainVerification,
    CommonTlsContext,
    DownstreamTlsContext,
    TlsCertificate,
    TlsParameters,
    TlsParametersTlsProtocol,
    UpstreamTlsContext,
)
from OpenSSL import SSL, crypto

from mesh.sidecar.errors import ConfigRefusedError
from mesh.sidecar.tls.errors import verify_error
from mesh.sidecar.tls.peer import CertificateFacts, certificate_facts
from mesh.sidecar.tls.san import SanMatcher, accepted, compile_sans
from mesh.sidecar.tls.secrets import Reading, Renewed

DOWNSTREAM = "envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext"
UPSTREAM = "envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext"

_VERSIONS = {
    TlsParametersTlsProtocol.TLSv1_0: SSL.TLS1_VERSION,
    TlsParametersTlsProtocol.TLSv1_1: SSL.TLS1_1_VERSION,
    TlsParametersTlsProtocol.TLSv1_2: SSL.TLS1_2_VERSION,
    TlsParametersTlsProtocol.TLSv1_3: SSL.TLS1_3_VERSION,
}
# OpenSSL would add the trusted roots to the chain that we send; BoringSSL sends what is in the file.
_NO_AUTO_CHAIN = 0x8
_TRUST_ANY = CertificateValidationContextTrustChainVerification.ACCEPT_UNTRUSTED


class Loaded:
    """One state of the files: OpenSSL's context and our own certificate."""

    def __init__(self, ssl: SSL.Context, own: CertificateFacts | None) -> None:
        self.ssl = ssl
        self.own = own


class Verifier:
    """Decides about a peer's certificate inside the handshake; remembers why not."""

    def __init__(self, sans: tuple[SanMatcher, ...], hashes: frozenset[str], any_ca: bool) -> None:
        self.sans = sans
        self.hashes = hashes
        self.any_ca = any_ca

    def __call__(
        self, connection: SSL.Connection, cert: crypto.X509, error: int, depth: int, ok: int
    ) -> bool:
        """Called by OpenSSL for each certificate of the chain, the root first."""
        told: dict[str, str] = connection.get_app_data()
        if not ok and not self.any_ca:
            told["counter"] = "fail_verify_error"
            told["reason"] = (
                "X509_verify_cert: certificate verification error at depth "
                f"{depth}: {verify_error(error)}"
            )
            return False
        if depth:
            return True
        certificate = cert.to_cryptography()
        facts = certificate_facts(certificate)
        if self.sans and not accepted(self.sans, facts):
            told["counter"] = "fail_verify_san"
            told["reason"] = f"SAN matcher, certificate SANs are [{', '.join(facts.sans)}]"
            return False
        if self.hashes and facts.sha256 not in self.hashes:
            told["counter"] = "fail_verify_cert_hash"
            told["reason"] = "certificate hash"
            return False
        return True


class TlsContext:
    """A compiled transport socket; ``new_connection`` takes the newest certificates.

    ``alpn`` are the protocols offered (client) or preferred (server).  Raises ConfigRefusedError
    for what cannot be executed.
    """

    def __init__(
        self,
        common: CommonTlsContext,
        *,
        server: bool,
        require_client_certificate: bool = False,
        sni: str = "",
    ) -> None:
        self.server = server
        self.sni = sni
        self.alpn = [name.encode() for name in common.alpn_protocols]
        self._common = common
        self._require = require_client_certificate
        _refuse_unknown(common)
        self._loaded = Renewed(self._load)

    @classmethod
    def downstream(cls, config: DownstreamTlsContext) -> TlsContext:
        """Compile a listener's side."""
        for name in ("require_sni", "session_ticket_keys", "session_ticket_keys_sds_secret_config"):
            if getattr(config, name):
                raise ConfigRefusedError(f"DownstreamTlsContext: {name} cannot be executed")
        return cls(
            config.common_tls_context or CommonTlsContext(),
            server=True,
            require_client_certificate=bool(config.require_client_certificate),
        )

    @classmethod
    def upstream(cls, config: UpstreamTlsContext) -> TlsContext:
        """Compile a cluster's side."""
        for name in ("auto_host_sni", "auto_sni_san_validation", "allow_renegotiation"):
            if getattr(config, name):
                raise ConfigRefusedError(f"UpstreamTlsContext: {name} cannot be executed")
        return cls(config.common_tls_context or CommonTlsContext(), server=False, sni=config.sni)

    def loaded(self) -> Loaded:
        """Return what is made of the newest files."""
        return self._loaded.get()

    def new_connection(self, alpn: list[bytes] | None = None) -> tuple[SSL.Connection, Loaded]:
        """Make an OpenSSL connection on memory buffers, ready for ``do_handshake``.

        ``alpn`` are a client's protocols when the configuration names none.
        """
        loaded = self.loaded()
        connection = SSL.Connection(loaded.ssl)
        connection.set_app_data({})
        if self.server:
            connection.set_accept_state()
            return connection, loaded
        if self.sni:
            connection.set_tlsext_host_name(self.sni.encode())
        protocols = self.alpn or alpn
        if protocols:
            connection.set_alpn_protos(protocols)
        connection.set_connect_state()
        return connection, loaded

    def _load(self, reading: Reading) -> Loaded:
        common = self._common
        context = SSL.Context(SSL.TLS_SERVER_METHOD if self.server else SSL.TLS_CLIENT_METHOD)
        _set_parameters(context, common.tls_params, self.server)
        own = None
        for certificate in _certificates(common, reading):
            own = _use_certificate(context, certificate, reading)
        if self.server and own is None:
            raise ConfigRefusedError("DownstreamTlsContext: a server needs a tls_certificate")
        _set_validation(context, common, reading, self.server and self._require)
        if self.server:
            context.set_session_id(hashlib.sha256(repr(common).encode()).digest()[:32])
            if self.alpn:
                context.set_alpn_select_callback(_selector(self.alpn))
        return Loaded(context, own)


def _refuse_unknown(common: CommonTlsContext) -> None:
    for name in (
        "tls_certificate_provider_instance",
        "custom_tls_certificate_selector",
        "tls_certificate_certificate_provider",
        "tls_certificate_certificate_provider_instance",
        "validation_context_certificate_provider",
        "validation_context_certificate_provider_instance",
        "custom_handshaker",
        "key_log",
    ):
        if getattr(common, name) is not None:
            raise ConfigRefusedError(f"tls context: {name} cannot be executed")


def _set_parameters(context: SSL.Context, params: TlsParameters | None, server: bool) -> None:
    """Set versions and ciphers; Envoy's defaults are TLS 1.2 to 1.3, for clients 1.2 only."""
    low = params.tls_minimum_protocol_version if params else TlsParametersTlsProtocol.TLS_AUTO
    high = params.tls_maximum_protocol_version if params else TlsParametersTlsProtocol.TLS_AUTO
    context.set_min_proto_version(_VERSIONS.get(low, SSL.TLS1_2_VERSION))
    default = SSL.TLS1_3_VERSION if server else SSL.TLS1_2_VERSION
    context.set_max_proto_version(_VERSIONS.get(high, default))
    context.set_options(SSL.OP_NO_COMPRESSION | SSL.OP_NO_RENEGOTIATION)
    context.set_mode(_NO_AUTO_CHAIN)
    context.set_session_cache_mode(SSL.SESS_CACHE_OFF)
    if server:
        context.set_options(SSL.OP_CIPHER_SERVER_PREFERENCE)
    if params is not None and params.cipher_suites:
        # [A|B] is BoringSSL's group of equal preference.
        names = ":".join(params.cipher_suites).replace("[", "").replace("]", "").replace("|", ":")
        try:
            context.set_cipher_list(names.encode())
        except SSL.Error:
            raise ConfigRefusedError(f"tls_params.cipher_suites: {names}") from None
    if params is not None and params.ecdh_curves:
        raise ConfigRefusedError("tls_params.ecdh_curves cannot be executed")


def _certificates(common: CommonTlsContext, reading: Reading) -> list[TlsCertificate]:
    found = list(common.tls_certificates)
    found += [reading.certificate(item) for item in common.tls_certificate_sds_secret_configs]
    return found


def _use_certificate(
    context: SSL.Context, certificate: TlsCertificate, reading: Reading
) -> CertificateFacts:
    if certificate.private_key_provider is not None or certificate.password is not None:
        raise ConfigRefusedError("tls_certificate: only a plain private_key can be executed")
    pem = reading.source(certificate.certificate_chain, "certificate_chain")
    key = reading.source(certificate.private_key, "private_key")
    try:
        chain = x509.load_pem_x509_certificates(pem)
        context.use_certificate(chain[0])
        for extra in chain[1:]:
            context.add_extra_chain_cert(extra)
        context.use_privatekey(load_pem_private_key(key, None))  # type: ignore[arg-type]
        context.check_privatekey()
    except (ValueError, TypeError, SSL.Error) as error:
        text = "the key does not belong to it" if isinstance(error, SSL.Error) else str(error)
        raise ConfigRefusedError(f"the certificate cannot be used: {text}") from None
    return certificate_facts(chain[0])


def _validation(common: CommonTlsContext, reading: Reading) -> list[CertificateValidationContext]:
    combined = common.combined_validation_context
    if common.validation_context is not None:
        return [common.validation_context]
    if common.validation_context_sds_secret_config is not None:
        return [reading.validation(common.validation_context_sds_secret_config)]
    if combined is None:
        return []
    found = []
    if combined.validation_context_sds_secret_config is not None:
        found.append(reading.validation(combined.validation_context_sds_secret_config))
    if combined.default_validation_context is not None:
        found.append(combined.default_validation_context)
    return found


def _set_validation(
    context: SSL.Context, common: CommonTlsContext, reading: Reading, require: bool
) -> None:
    """Say whom to believe: the roots and the names, from one or two validation contexts."""
    parts = _validation(common, reading)
    sans: tuple[SanMatcher, ...] = ()
    hashes: set[str] = set()
    trusted = any_ca = False
    for part in parts:
        for name in (
            "crl",
            "custom_validator_config",
            "allow_expired_certificate",
            "require_signed_certificate_timestamp",
            "verify_certificate_spki",
            "ca_certificate_provider_instance",
        ):
            if getattr(part, name):
                raise ConfigRefusedError(f"validation_context: {name} cannot be executed")
        sans += compile_sans(part)
        hashes |= {text.replace(":", "").lower() for text in part.verify_certificate_hash}
        any_ca = any_ca or part.trust_chain_verification == _TRUST_ANY
        if part.max_verify_depth is not None:
            context.set_verify_depth(part.max_verify_depth)
        if part.trusted_ca is not None:
            _trust(context, reading.source(part.trusted_ca, "trusted_ca"))
            trusted = True
        if part.system_root_certs is not None:
            context.set_default_verify_paths()
            trusted = True
    if sans and not trusted:
        raise ConfigRefusedError(
            "SAN-based verification of peer certificates without trusted CA is insecure and "
            "not allowed"
        )
    if not trusted and not hashes:
        any_ca = True
    mode = SSL.VERIFY_NONE
    if trusted or hashes or require:
        mode = SSL.VERIFY_PEER
        if require:
            mode |= SSL.VERIFY_FAIL_IF_NO_PEER_CERT
    context.set_verify(mode, Verifier(sans, frozenset(hashes), any_ca))


def _trust(context: SSL.Context, pem: bytes) -> None:
    store = context.get_cert_store()
    assert store is not None
    try:
        roots = x509.load_pem_x509_certificates(pem)
    except ValueError as error:
        raise ConfigRefusedError(f"trusted_ca: {error}") from None
    for root in roots:
        store.add_cert(crypto.X509.from_cryptography(root))
    context.set_client_ca_list(
        [crypto.X509.from_cryptography(root).get_subject() for root in roots]
    )


def _selector(preferred: list[bytes]) -> Callable[[Any, list[bytes]], Any]:
    """Choose the server's first protocol that the client offers; none is no reason to fail."""

    def select(_connection: SSL.Connection, offered: list[bytes]) -> Any:
        for name in preferred:
            if name in offered:
                return name
        return SSL.NO_OVERLAPPING_PROTOCOLS

    return select
