"""CertificateFacts: what a certificate says about its owner, as filters and logs ask for it.

In a mesh a workload is known by the URI in the subject alternative names of its certificate,
``spiffe://cluster.local/ns/tutorial/sa/customer``.  Authorization policies compare it with their
``principals``, the access log shows it (``downstream_peer_uri_san``), and the header
x-forwarded-client-cert carries it to the application.

Source: Envoy ``source/common/tls/connection_info_impl_base.cc``.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import quote

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding


@dataclass(frozen=True, slots=True)
class CertificateFacts:
    """A certificate: subject alternative names by kind, subject (RFC 2253), SHA-256 (hex, lower).

    ``pem`` is URL-encoded, as x-forwarded-client-cert wants it; ``serial`` is hexadecimal.
    """

    uri_sans: tuple[str, ...] = ()
    dns_sans: tuple[str, ...] = ()
    ip_sans: tuple[str, ...] = ()
    email_sans: tuple[str, ...] = ()
    subject: str = ""
    issuer: str = ""
    serial: str = ""
    sha256: str = ""
    pem: str = ""

    @property
    def sans(self) -> tuple[str, ...]:
        """All subject alternative names."""
        return self.dns_sans + self.uri_sans + self.email_sans + self.ip_sans


def certificate_facts(certificate: x509.Certificate) -> CertificateFacts:
    """Read ``certificate``; what it does not say is empty."""
    return _read(certificate.public_bytes(Encoding.DER))


@lru_cache(maxsize=256)
def _read(der: bytes) -> CertificateFacts:
    certificate = x509.load_der_x509_certificate(der)
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (x509.ExtensionNotFound, ValueError):
        names = x509.SubjectAlternativeName([])
    pem = certificate.public_bytes(Encoding.PEM).decode()
    return CertificateFacts(
        uri_sans=tuple(names.get_values_for_type(x509.UniformResourceIdentifier)),
        dns_sans=tuple(names.get_values_for_type(x509.DNSName)),
        ip_sans=tuple(str(item) for item in names.get_values_for_type(x509.IPAddress)),
        email_sans=tuple(names.get_values_for_type(x509.RFC822Name)),
        subject=certificate.subject.rfc4514_string(),
        issuer=certificate.issuer.rfc4514_string(),
        serial=f"{certificate.serial_number:x}",
        sha256=hashlib.sha256(der).hexdigest(),
        pem=quote(pem, safe=""),
    )
