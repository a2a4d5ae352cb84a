"""Agent: one pod's certificate, from the first request to the last rotation.

The first request shows the pod's bootstrap token, each later one the certificate in force and a
signature made with its key.  A new key is made for every certificate.  A certificate is replaced
at half of its lifetime (one per cent early or late, so that pods do not all ask at once), and
whenever the control plane says that there is something new (its roots, above all).
Source: istio/istio ``security/pkg/nodeagent/cache/secretcache.go``
(SECRET_GRACE_PERIOD_RATIO 0.5).
"""

from __future__ import annotations

import base64
import http.client
import json
import logging
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any
from urllib.parse import quote

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from mesh.agent import sds

HALF = 0.5
JITTER = 0.01
BOOTSTRAP_FILE = "token"
"""File of the bootstrap token in the pod's folder."""
FIRST_RETRY, LONGEST_RETRY = 0.5, 30.0

log = logging.getLogger(__name__)


class AgentError(Exception):
    """The control plane gave no certificate; one sentence."""


@dataclass(frozen=True, slots=True)
class AgentOptions:
    """``node_id`` of the proxy, its pod's ``folder``, ``api_socket`` of the control plane.

    ``identity`` is the SPIFFE id to ask for; ``timeout`` in seconds for one request.
    """

    node_id: str
    folder: Path
    api_socket: Path
    identity: str
    timeout: float = 20.0


@dataclass(slots=True)
class Agent:
    """The certificate of one pod.  ``due`` (monotonic seconds) is when to call ``renew`` next."""

    options: AgentOptions
    rng: Random = field(default_factory=Random)
    clock: Callable[[], float] = time.monotonic
    due: float = 0.0
    generation: int = 0
    chain: str = ""
    _key: ec.EllipticCurvePrivateKey | None = None
    _retry: float = FIRST_RETRY

    def renew(self) -> None:
        """Fetch a certificate and put it into force; AgentError when there is none to be had."""
        key = ec.generate_private_key(ec.SECP256R1())
        issued = self._call("/citadel/sign", self.request(key))
        private = key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        folder = self.options.folder / sds.FOLDER
        # The roots first: whoever shows a new certificate already trusts those of the others.
        sds.write_roots(folder, issued["roots"])
        sds.write_certificate(folder, issued["chain"], private.decode())
        (self.options.folder / BOOTSTRAP_FILE).unlink(missing_ok=True)
        self._key, self.chain = key, issued["chain"]
        self.generation = int(issued["generation"])
        share = HALF + self.rng.uniform(-JITTER, JITTER)
        self.due = self.clock() + float(issued["lifetime"]) * share
        self._retry = FIRST_RETRY

    def try_renew(self) -> bool:
        """``renew``; a failure is logged and tried again later, at growing distances."""
        try:
            self.renew()
        except AgentError as error:
            log.warning("no new certificate: %s", error)
            self.due = self.clock() + self._retry * self.rng.uniform(0.5, 1)
            self._retry = min(self._retry * 2, LONGEST_RETRY)
            return False
        return True

    def request(self, key: ec.EllipticCurvePrivateKey) -> dict[str, str]:
        """Return the signing request for a new key."""
        name = x509.UniformResourceIdentifier(self.options.identity)
        builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
        builder = builder.add_extension(x509.SubjectAlternativeName([name]), critical=True)
        csr = builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
        if self._key is None:
            return {"csr": csr.decode(), "token": self._token()}
        signature = self._key.sign(csr, ec.ECDSA(hashes.SHA256()))
        return {
            "csr": csr.decode(),
            "certificate": self.chain,
            "signature": base64.b64encode(signature).decode(),
        }

    def _token(self) -> str:
        try:
            return (self.options.folder / BOOTSTRAP_FILE).read_text(encoding="ascii").strip()
        except OSError as error:
            raise AgentError(f"no bootstrap token in {self.options.folder}: {error}") from None

    def watch(self) -> socket.socket:
        """Ask to be told when there is something new; the socket becomes readable then.

        Asking also says that what was fetched so far is in force.  Raises OSError.
        """
        sock = self._connect()
        node = quote(self.options.node_id, safe="")
        path = f"/citadel/newer/{node}/{self.generation}"
        sock.sendall(
            f"GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n".encode()
        )
        return sock

    def _connect(self) -> socket.socket:
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            sock.settimeout(self.options.timeout)
            sock.connect(str(self.options.api_socket))
        except OSError:
            sock.close()
            raise
        return sock

    def _call(self, path: str, body: dict[str, str]) -> dict[str, Any]:
        connection = http.client.HTTPConnection("localhost")
        try:
            connection.sock = self._connect()
            connection.request("POST", path, json.dumps(body))
            answer = connection.getresponse()
            data = json.loads(answer.read())
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise AgentError(f"the control plane does not answer: {error}") from None
        finally:
            connection.close()
        if answer.status != http.client.OK:
            raise AgentError(str(data.get("error", answer.status)))
        return dict(data)


def says_newer(answer: bytes) -> bool:
    """Tell whether the answer to ``watch`` announces something new (empty: the line was cut)."""
    return answer.startswith(b"HTTP/1.1 200")
