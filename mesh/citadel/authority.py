"""An authority: a self-signed root, and the issuing CA below it that signs workloads.

In a real mesh the root stays offline (``cacerts``) and istiod holds the issuing CA only.  A sidecar
sends its certificate with that of the issuing CA, and trusts roots alone.  Keys are EC P-256: made
in a tenth of a millisecond, RSA takes a thousand times longer.
Source: RFC 5280; istio/istio ``security/pkg/pki/ca``.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

type PublicKey = ec.EllipticCurvePublicKey

ROOT_LIFETIME = timedelta(days=3650)
ISSUING_LIFETIME = timedelta(days=365)
BACKDATED = timedelta(minutes=2)
"""Certificates begin this much earlier: clocks of two machines differ."""


@dataclass(frozen=True, slots=True)
class Authority:
    """A root certificate and the issuing CA below it, with the issuing CA's key.

    The root's key is thrown away once the issuing CA is signed: nothing can be signed with it.
    """

    root: x509.Certificate
    issuing: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    @property
    def name(self) -> str:
        """The root's common name, ``mesh lab root 1``."""
        return str(self.root.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value)

    def sign(
        self,
        key: PublicKey,
        uris: tuple[str, ...],
        begin: datetime,
        end: datetime,
        dns: tuple[str, ...] = (),
        *,
        server: bool = True,
    ) -> x509.Certificate:
        """Sign a leaf certificate with URI (SPIFFE) and DNS names, valid from ``begin`` to ``end``.

        It has no subject, so the names are critical (RFC 5280, 4.2.1.6).  A name that is an IP
        address becomes an address.
        """
        names: list[x509.GeneralName] = [x509.UniformResourceIdentifier(uri) for uri in uris]
        names += [_dns_or_ip(name) for name in dns]
        usages = [ExtendedKeyUsageOID.CLIENT_AUTH]
        if server:
            usages.insert(0, ExtendedKeyUsageOID.SERVER_AUTH)
        builder = (
            _builder(x509.Name([]), self.issuing.subject, key, begin, end)
            .add_extension(x509.SubjectAlternativeName(names), critical=True)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_key_usage(ca=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage(usages), critical=False)
            .add_extension(_authority_key(self.key.public_key()), critical=False)
        )
        return builder.sign(self.key, hashes.SHA256())

    def to_pem(self) -> bytes:
        """The issuing CA's key, its certificate, the root: what ``from_pem`` reads."""
        return key_pem(self.key) + pem(self.issuing) + pem(self.root)

    @classmethod
    def from_pem(cls, text: bytes) -> Authority:
        """Read ``to_pem``'s form; ValueError when it is another one."""
        key = serialization.load_pem_private_key(text, None)
        certificates = x509.load_pem_x509_certificates(text)
        if not isinstance(key, ec.EllipticCurvePrivateKey) or len(certificates) != 2:
            raise ValueError("no authority: an EC key and two certificates are needed")
        return cls(certificates[1], certificates[0], key)


def make_authority(name: str, now: datetime) -> Authority:
    """Make a root called ``name`` and its issuing CA."""
    root_key, key = new_key(), new_key()
    root_name, issuing_name = _name(name), _name(f"{name} issuing CA")
    begin = now - BACKDATED
    root = (
        _builder(root_name, root_name, root_key.public_key(), begin, now + ROOT_LIFETIME)
        .add_extension(x509.BasicConstraints(ca=True, path_length=1), critical=True)
        .add_extension(_key_usage(ca=True), critical=True)
        .add_extension(_subject_key(root_key.public_key()), critical=False)
        .sign(root_key, hashes.SHA256())
    )
    issuing = (
        _builder(issuing_name, root_name, key.public_key(), begin, now + ISSUING_LIFETIME)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_usage(ca=True), critical=True)
        .add_extension(_subject_key(key.public_key()), critical=False)
        .add_extension(_authority_key(root_key.public_key()), critical=False)
        .sign(root_key, hashes.SHA256())
    )
    return Authority(root, issuing, key)


def new_key() -> ec.EllipticCurvePrivateKey:
    """Make a key."""
    return ec.generate_private_key(ec.SECP256R1())


def pem(certificate: x509.Certificate) -> bytes:
    """A certificate as PEM."""
    return certificate.public_bytes(serialization.Encoding.PEM)


def key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    """A private key as PEM (PKCS#8, not encrypted)."""
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def utc_now() -> datetime:
    """The time of day."""
    return datetime.now(UTC)


def _name(text: str) -> x509.Name:
    organization = x509.NameAttribute(NameOID.ORGANIZATION_NAME, "mesh lab")
    return x509.Name([organization, x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _dns_or_ip(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _builder(
    subject: x509.Name, issuer: x509.Name, key: PublicKey, begin: datetime, end: datetime
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(begin)
        .not_valid_after(end)
    )


def _key_usage(*, ca: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not ca,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=ca,
        crl_sign=ca,
        encipher_only=False,
        decipher_only=False,
    )


def _subject_key(key: PublicKey) -> x509.SubjectKeyIdentifier:
    return x509.SubjectKeyIdentifier.from_public_key(key)


def _authority_key(key: PublicKey) -> x509.AuthorityKeyIdentifier:
    return x509.AuthorityKeyIdentifier.from_issuer_public_key(key)
