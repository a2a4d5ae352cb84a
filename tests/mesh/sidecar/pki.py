"""Keys and certificates for tests: two authorities, and certificates that are wrong in one way."""

from __future__ import annotations

import datetime
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from cryptography.x509.oid import NameOID

DAY = datetime.timedelta(days=1)


@dataclass(frozen=True)
class Pair:
    """A certificate and its key, in PEM."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    @property
    def cert_pem(self) -> str:
        return self.certificate.public_bytes(Encoding.PEM).decode()

    @property
    def key_pem(self) -> str:
        form = PrivateFormat.PKCS8
        return self.key.private_bytes(Encoding.PEM, form, NoEncryption()).decode()

    def write(self, folder: Path, name: str) -> tuple[str, str]:
        """Write NAME.pem and NAME-key.pem; return their paths."""
        cert, key = folder / f"{name}.pem", folder / f"{name}-key.pem"
        cert.write_text(self.cert_pem)
        key.write_text(self.key_pem)
        return str(cert), str(key)


def issue(
    common_name: str,
    sans: list[str],
    signer: Pair | None = None,
    *,
    begins: datetime.timedelta = -DAY,
    ends: datetime.timedelta = DAY,
    ca: bool = False,
) -> Pair:
    """Issue a certificate; ``sans`` with ``://`` are URIs, others DNS names; None signs itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name(
        [x509.NameAttribute(NameOID.COMMON_NAME, common_name)] if common_name else []
    )
    now = datetime.datetime.now(datetime.UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(signer.certificate.subject if signer else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + begins)
        .not_valid_after(now + ends)
        .add_extension(x509.BasicConstraints(ca, None), critical=True)
    )
    if sans:
        names: list[x509.GeneralName] = [
            x509.UniformResourceIdentifier(item) if "://" in item else x509.DNSName(item)
            for item in sans
        ]
        builder = builder.add_extension(
            x509.SubjectAlternativeName(names), critical=not common_name
        )
    return Pair(builder.sign(signer.key if signer else key, hashes.SHA256()), key)


def authority(name: str = "mesh") -> Pair:
    """Return the root called ``name``."""
    return _authority(name)


@cache
def _authority(name: str) -> Pair:
    return issue(f"{name} root", [], ca=True)


@cache
def workload(account: str, root: str = "mesh") -> Pair:
    """Return the certificate of a service account: a SPIFFE id and no subject, as Istio's."""
    return issue("", [f"spiffe://cluster.local/ns/tutorial/sa/{account}"], authority(root))
