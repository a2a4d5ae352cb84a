"""TLS origination: the application speaks plain HTTP, its sidecar (or an egress gateway) TLS.

``tls.mode`` SIMPLE or MUTUAL of a DestinationRule, for a host that is no workload of the mesh: an outside
host on 443, mostly behind a ServiceEntry.  So rules about paths work for it, and applications need no
certificates.  Who is believed: ``caCertificates``, else the system's authorities from Istio 1.21 on
(nobody is verified before); the name in the certificate has to be one of ``subjectAltNames``, from
1.21 on else the host.  ``sni`` is the name asked for, from 1.21 on else the host.
A gateway may have all of it in a Secret (``credentialName``).  Until 1.4 ``/etc/certs/*.pem`` were the
workload's own certificate in the mesh.
Source: istio/istio ``pilot/pkg/networking/core/cluster_tls.go``, ``releasenotes/notes`` of 1.21.
Shown by ``meshctl proxy-config cluster POD -o json``.
"""

from __future__ import annotations

from envoy_data_plane.envoy.config.core.v3 import DataSource, TransportSocket
from envoy_data_plane.envoy.extensions.transport_sockets.tls.v3 import (
    CertificateValidationContext,
    CommonTlsContext,
    CommonTlsContextCombinedCertificateValidationContext,
    SubjectAltNameMatcher,
    SubjectAltNameMatcherSanType,
    TlsCertificate,
    UpstreamTlsContext,
)
from envoy_data_plane.envoy.type.matcher.v3 import StringMatcher

from mesh.istio.models.destination_rule import ClientTLSSettings
from mesh.pilot.translate import gateway_tls, messages, mutual_tls
from mesh.pilot.translate.view import MeshView

SYSTEM = "system"
NOBODY = "0" * 64
"""Fingerprint that no certificate has: without its Secret a gateway believes nobody."""
_VERIFIES_BY_ITSELF = (1, 21)


def socket(
    view: MeshView, tls: ClientTLSSettings, hostname: str, *, http2: bool
) -> TransportSocket:
    """Return the transport socket towards ``hostname``."""
    modern = view.era.release >= _VERIFIES_BY_ITSELF
    common = CommonTlsContext(alpn_protocols=["h2"] if http2 else ["http/1.1"])
    host = hostname if modern and not hostname.startswith("*") else ""
    names = _names(tls.subject_alt_names or ([host] if host else []))
    if tls.credential_name and view.router:
        _from_secret(view, tls, common, names)
    else:
        _from_files(view, tls, common, names, modern=modern)
    context = UpstreamTlsContext(common_tls_context=common, sni=tls.sni or host)
    return TransportSocket(name=mutual_tls.TRANSPORT_SOCKET, typed_config=messages.pack(context))


def _from_files(
    view: MeshView,
    tls: ClientTLSSettings,
    common: CommonTlsContext,
    names: list[SubjectAltNameMatcher],
    *,
    modern: bool,
) -> None:
    mounted = view.era.release < mutual_tls.SECRETS_ARE_FETCHED
    if tls.mode == "MUTUAL" and tls.client_certificate and tls.private_key:
        if mounted and tls.client_certificate == mutual_tls.OWN_CHAIN:
            common.tls_certificate_sds_secret_configs = [mutual_tls.secret("default")]
        else:
            common.tls_certificates = [
                TlsCertificate(
                    certificate_chain=DataSource(filename=tls.client_certificate),
                    private_key=DataSource(filename=tls.private_key),
                )
            ]
    roots = tls.ca_certificates or (SYSTEM if modern else "")
    if tls.insecure_skip_verify or not roots:
        return
    if mounted and roots == mutual_tls.OWN_ROOTS:
        combined = CommonTlsContextCombinedCertificateValidationContext(
            default_validation_context=CertificateValidationContext(
                match_typed_subject_alt_names=names
            ),
            validation_context_sds_secret_config=mutual_tls.secret("ROOTCA"),
        )
        common.combined_validation_context = combined
        return
    common.validation_context = CertificateValidationContext(
        trusted_ca=DataSource(filename=view.system_roots if roots == SYSTEM else roots),
        match_typed_subject_alt_names=names,
    )


def _from_secret(
    view: MeshView,
    tls: ClientTLSSettings,
    common: CommonTlsContext,
    names: list[SubjectAltNameMatcher],
) -> None:
    found = gateway_tls.material(view, view.client, tls.credential_name or "")
    if tls.mode == "MUTUAL" and found.certificate is not None:
        common.tls_certificates = [found.certificate]
    if tls.insecure_skip_verify:
        return
    known = found.roots is not None and (tls.mode == "SIMPLE" or found.certificate is not None)
    common.validation_context = (
        CertificateValidationContext(trusted_ca=found.roots, match_typed_subject_alt_names=names)
        if known
        else CertificateValidationContext(verify_certificate_hash=[NOBODY])
    )


def _names(wanted: list[str]) -> list[SubjectAltNameMatcher]:
    kind = SubjectAltNameMatcherSanType
    return [
        SubjectAltNameMatcher(
            san_type=kind.URI if "://" in each else kind.DNS, matcher=StringMatcher(exact=each)
        )
        for each in wanted
    ]
