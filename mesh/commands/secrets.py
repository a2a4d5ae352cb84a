"""The certificates of a sidecar as ``istioctl proxy-config secret`` shows them.

They are read from the files that the pod's agent keeps; the private key is never shown.
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cryptography import x509

from mesh.agent import sds
from mesh.commands.errors import UserError

COLUMNS = [
    "RESOURCE NAME",
    "TYPE",
    "STATUS",
    "VALID CERT",
    "SERIAL NUMBER",
    "NOT AFTER",
    "NOT BEFORE",
]


def certificates(folder: Path, name: str) -> list[tuple[str, str, x509.Certificate]]:
    """Return (resource, type, certificate): the chain in its order, then the roots.

    UserError for a pod without certificates.
    """
    place = folder / sds.FOLDER
    try:
        chain, _ = sds.read_certificate(place)
        roots = sds.read_roots(place)
    except OSError:
        raise UserError(f"{name} has no certificate: its mesh speaks plain text") from None
    found = [
        (sds.CERTIFICATE, "Cert Chain", each)
        for each in x509.load_pem_x509_certificates(chain.encode())
    ]
    return found + [
        (sds.ROOTS, "CA", each) for each in x509.load_pem_x509_certificates(roots.encode())
    ]


def rows(found: list[tuple[str, str, x509.Certificate]], now: datetime) -> list[list[str]]:
    """Return the table."""
    return [
        [
            resource,
            kind,
            "ACTIVE",
            str(each.not_valid_before_utc <= now <= each.not_valid_after_utc).lower(),
            f"{each.serial_number:x}",
            each.not_valid_after_utc.strftime("%Y-%m-%dT%H:%M:%SZ"),
            each.not_valid_before_utc.strftime("%Y-%m-%dT%H:%M:%SZ"),
        ]
        for resource, kind, each in found
    ]


def as_data(found: list[tuple[str, str, x509.Certificate]]) -> list[dict[str, Any]]:
    """Return them for programs: names, issuer, lifetime."""
    return [
        {
            "resource": resource,
            "type": kind,
            "subject": each.subject.rfc4514_string(),
            "issuer": each.issuer.rfc4514_string(),
            "names": _names(each),
            "serial": f"{each.serial_number:x}",
            "not_before": each.not_valid_before_utc.isoformat(),
            "not_after": each.not_valid_after_utc.isoformat(),
        }
        for resource, kind, each in found
    ]


def now() -> datetime:
    """The time of day."""
    return datetime.now(UTC)


def _names(certificate: x509.Certificate) -> list[str]:
    try:
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except x509.ExtensionNotFound:
        return []
    return [str(each.value) for each in found.value]
