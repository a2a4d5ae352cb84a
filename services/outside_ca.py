"""outside_ca: who vouches for the hosts outside of the mesh, since no public authority does here.

On the internet a few hundred authorities sign the certificates of web sites, and every machine has a
list of them.  The played world has an authority of its own: ``ca.pem`` is what a workload (or a
sidecar that originates TLS) has to trust, ``NAME.pem`` is the certificate of one host with its key.
It has nothing to do with the mesh's own authority (``mesh.citadel``): an outside host is no workload.
``make_certificates`` into a folder that has them already changes nothing.
See it with ``meshctl curl https://edition.cnn.com/ --from customer``.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

ROOTS = "ca.pem"
"""The file that callers trust."""
_KEY = "ca.key.pem"
_YEAR = timedelta(days=365)


def make_certificates(folder: Path, names: Iterable[str]) -> dict[str, Path]:
    """Make what is missing in ``folder``; returns the file of each name, key and certificate."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    root, root_key = _authority(folder)
    found: dict[str, Path] = {}
    for name in names:
        path = found[name] = folder / f"{name}.pem"
        if path.exists():
            continue
        key = ec.generate_private_key(ec.SECP256R1())
        names_of_it = x509.SubjectAlternativeName([x509.DNSName(name)])
        certificate = (
            _builder(_name(name), root.subject, key)
            .add_extension(names_of_it, critical=False)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .sign(root_key, hashes.SHA256())
        )
        _write(path, _pem(key) + certificate.public_bytes(serialization.Encoding.PEM))
    return found


def _authority(folder: Path) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    roots, key_file = folder / ROOTS, folder / _KEY
    if roots.exists() and key_file.exists():
        key = serialization.load_pem_private_key(key_file.read_bytes(), None)
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            raise ValueError(f"{key_file} is not the key that belongs here: delete the folder")
        return x509.load_pem_x509_certificate(roots.read_bytes()), key
    key = ec.generate_private_key(ec.SECP256R1())
    name = _name("mesh lab: authority of the outside world")
    root = (
        _builder(name, name, key)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    _write(key_file, _pem(key))
    _write(roots, root.public_bytes(serialization.Encoding.PEM))
    return root, key


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + _YEAR)
    )


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def _write(path: Path, text: bytes) -> None:
    """Write beside the place, then move: a reader sees all of it."""
    part = path.with_name(f".{path.name}.part")
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(text)
    part.replace(path)
