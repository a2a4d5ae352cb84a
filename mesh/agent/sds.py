"""SDS files: how a sidecar learns its certificate, and learns of a new one.

Envoy's secret discovery service can be a file: it holds one Secret in the form of a
DiscoveryResponse, and when another file is moved onto its place, the new one is in force; open
connections stay.  ``default.json`` is the certificate with its key, ``ROOTCA.json`` the roots that
are trusted; Istio's agent serves secrets of the same two names.
Source: Envoy, "Secret discovery service (SDS)", example three.
Shown by ``meshctl proxy-config secret POD``.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

FOLDER = "sds"
"""The watched folder, below the pod's own."""
CERTIFICATE = "default"
ROOTS = "ROOTCA"
_TYPE = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret"


def write_certificate(folder: Path, chain: str, key: str) -> None:
    """Put a certificate chain and its key (PEM) into force."""
    secret = {"certificate_chain": {"inline_string": chain}, "private_key": {"inline_string": key}}
    _write(folder, CERTIFICATE, {"tls_certificate": secret})


def write_roots(folder: Path, roots: str) -> None:
    """Put the trusted roots (PEM) into force."""
    _write(folder, ROOTS, {"validation_context": {"trusted_ca": {"inline_string": roots}}})


def read_certificate(folder: Path) -> tuple[str, str]:
    """Return chain and key as written; OSError when there is none."""
    secret = _read(folder, CERTIFICATE)["tls_certificate"]
    return secret["certificate_chain"]["inline_string"], secret["private_key"]["inline_string"]


def read_roots(folder: Path) -> str:
    """Return the roots as written; OSError when there are none."""
    return str(_read(folder, ROOTS)["validation_context"]["trusted_ca"]["inline_string"])


def _read(folder: Path, name: str) -> dict[str, Any]:
    data = json.loads((folder / f"{name}.json").read_text(encoding="ascii"))
    return dict(data["resources"][0])


def _write(folder: Path, name: str, secret: dict[str, Any]) -> None:
    """Write beside the place, then move: a reader sees the old file or the new one."""
    folder.mkdir(mode=0o700, exist_ok=True)
    text = json.dumps({"resources": [{"@type": _TYPE, "name": name, **secret}]})
    part = folder / f".{name}.part"
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        file.write(text)
    part.replace(folder / f"{name}.json")
