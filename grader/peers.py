"""Peers that come to a pod's port by themselves, past every sidecar of their own, as forgers do.

Each says that it is preference, by a certificate (or by none), and asks the pod's application for its
health.  The grader can forge what it likes because the mesh's authority lies in its run folder; a
cluster's does not (``NotOfferedError``).
"""

from __future__ import annotations

import http.client
import socket
import ssl
import tempfile
from datetime import UTC, datetime, timedelta

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from grader.collect import Lab
from mesh.citadel.authority import Authority, make_authority, pem
from mesh.testbed.client import TestbedError


def peers(lab: Lab, service: str) -> dict[str, int]:
    """What four peers are answered that all say they are preference; 0: nothing."""
    now = datetime.now(UTC)
    try:
        kept = next(lab.testbed.run.path.glob("**/citadel/authority-*.pem"))
        mesh = Authority.from_pem(kept.read_bytes())
    except (OSError, StopIteration):
        raise TestbedError(
            "the mesh's authority cannot be read, so nothing can be forged"
        ) from None
    day, hour = timedelta(days=1), timedelta(hours=1)
    return {
        "plain": peer(lab, service, None),
        "other-authority": peer(
            lab, service, certificate(make_authority(mesh.name, now), now - hour, now + day)
        ),
        "expired": peer(lab, service, certificate(mesh, now - 2 * day, now - day)),
        "valid": peer(lab, service, certificate(mesh, now - hour, now + day)),
    }


def certificate(authority: Authority, begins: datetime, ends: datetime) -> bytes:
    """A certificate with preference's name, its chain and its key, as PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = "spiffe://cluster.local/ns/tutorial/sa/preference"
    signed = authority.sign(key.public_key(), (name,), begins, ends)
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    return pem(signed) + pem(authority.issuing) + private


def peer(lab: Lab, service: str, shown: bytes | None) -> int:
    """Ask a pod's port over TLS, or in plain text when no certificate is shown; the status or 0."""
    pod = next(each for each in lab.testbed.pods() if each.service == service)
    message = (
        f"GET /health/ready HTTP/1.1\r\nhost: {service}:8080\r\nconnection: close\r\n"
        "x-forwarded-client-cert: URI=spiffe://cluster.local/ns/tutorial/sa/preference\r\n\r\n"
    )
    try:
        with socket.create_connection((pod.address, pod.ports[8080]), timeout=20) as plain:
            connection = plain if shown is None else encrypted(plain, shown)
            with connection:
                connection.sendall(message.encode())
                answer = http.client.HTTPResponse(connection)
                answer.begin()
                return answer.status
    except (OSError, http.client.HTTPException):
        return 0


def encrypted(plain: socket.socket, shown: bytes) -> ssl.SSLSocket:
    """TLS as a sidecar speaks it, with the certificate ``shown``."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE  # a forger checks nothing
    context.set_alpn_protocols(["istio"])
    with tempfile.NamedTemporaryFile(suffix=".pem") as file:
        file.write(shown)
        file.flush()
        context.load_cert_chain(file.name)
    return context.wrap_socket(plain)
