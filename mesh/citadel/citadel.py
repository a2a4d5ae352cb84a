"""Citadel: signs the requests of sidecars' agents, and changes the root under a running mesh.

A first request shows a bootstrap token, every later one the certificate it replaces and a signature
made with that certificate's key.  Either says which node asks; the name in the new certificate is
that of the node's service account, whatever the request says.

``generation`` counts what all agents have to take over.  Root rotation is three of them: the new
root is trusted beside the old one; certificates come from the new one; the old one is forgotten.
Each waits until every agent has the one before, so no two sidecars ever disagree.
Shown by ``meshctl ca status`` and ``meshctl ca rotate``.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from mesh.citadel.authority import BACKDATED, Authority, make_authority, pem, utc_now
from mesh.citadel.tokens import TokenError, Tokens

LIFETIME = timedelta(hours=24)
"""Istio's default lifetime of a workload's certificate."""


class RefusedError(Exception):
    """A request that is not signed; one sentence."""


@dataclass(frozen=True, slots=True)
class Issued:
    """What an agent gets: PEM texts, ``lifetime`` in seconds, and the generation they belong to."""

    chain: str
    roots: str
    lifetime: float
    generation: int


@dataclass(frozen=True, slots=True)
class SigningRequest:
    """What an agent sends: a CSR (PEM), and a token, or certificate (PEM) and signature.

    The signature is over the CSR's bytes as sent, with the key of ``certificate`` (ECDSA, SHA-256).
    """

    csr: str
    token: str = ""
    certificate: str = ""
    signature: bytes = b""


@dataclass(slots=True)
class Citadel:
    """The authority of one mesh.

    ``folder`` keeps its keys (mode 0600) over a restart; ``identity_of`` returns the SPIFFE id of a
    registered node id, None for a stranger; ``lifetime`` is that of workload certificates.
    """

    folder: Path
    identity_of: Callable[[str], str | None]
    lifetime: timedelta = LIFETIME
    now: Callable[[], datetime] = utc_now
    generation: int = 1
    installed: dict[str, int] = field(default_factory=dict)
    authorities: list[Authority] = field(default_factory=list)
    tokens: Tokens = field(init=False)
    _issuing: int = -1
    _holders: dict[str, list[bytes]] = field(default_factory=dict)
    _changed: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self.tokens = Tokens(lambda: self.now().timestamp())
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for path in sorted(self.folder.glob("authority-*.pem")):
            self.authorities.append(Authority.from_pem(path.read_bytes()))
        if not self.authorities:
            self._add("mesh lab root 1")

    @property
    def issuing(self) -> Authority:
        """The authority that signs now."""
        return self.authorities[self._issuing]

    @property
    def roots(self) -> str:
        """All roots that are trusted now, PEM."""
        return "".join(pem(each.root).decode() for each in self.authorities)

    def issue(self, request: SigningRequest) -> Issued:
        """Sign a request; RefusedError says why not."""
        try:
            csr = x509.load_pem_x509_csr(request.csr.encode())
        except ValueError as error:
            raise RefusedError(f"this is no certificate signing request: {error}") from None
        key = csr.public_key()
        if not isinstance(key, ec.EllipticCurvePublicKey) or not csr.is_signature_valid:
            raise RefusedError("a request needs an EC key and has to be signed with it")
        node = self._asking(request)
        identity = self.identity_of(node)
        if identity is None:
            raise RefusedError(f"{node} is not registered: a certificate is for pods of this mesh")
        if (wanted := _names(csr)) - {identity}:
            raise RefusedError(f"{node} is {identity}, not {', '.join(sorted(wanted))}")
        now = self.now()
        certificate = self.issuing.sign(key, (identity,), now - BACKDATED, now + self.lifetime)
        # The one before stays good for asking: an answer can get lost on its way.
        self._holders[node] = [*self._holders.get(node, [])[-1:], fingerprint(certificate)]
        chain = pem(certificate) + pem(self.issuing.issuing)
        return Issued(chain.decode(), self.roots, self.lifetime.total_seconds(), self.generation)

    def _asking(self, request: SigningRequest) -> str:
        """Return the node that proved to be the sender."""
        if request.token:
            try:
                return self.tokens.take(request.token)
            except TokenError as error:
                raise RefusedError(str(error)) from None
        try:
            old = x509.load_pem_x509_certificate(request.certificate.encode())
        except ValueError:
            raise RefusedError("neither a token nor a certificate says who asks") from None
        mark, key = fingerprint(old), old.public_key()
        node = next((name for name, marks in self._holders.items() if mark in marks), None)
        if node is None or not isinstance(key, ec.EllipticCurvePublicKey):
            raise RefusedError("the certificate shown is not one of the last two of any pod")
        try:
            key.verify(request.signature, request.csr.encode(), ec.ECDSA(hashes.SHA256()))
        except InvalidSignature:
            raise RefusedError(
                "the request is not signed with the key of the certificate"
            ) from None
        return node

    def forget(self, node: str) -> None:
        """A pod is gone: nobody waits for its agent, its certificate cannot be renewed."""
        self.installed.pop(node, None)
        self._holders.pop(node, None)
        self._change()

    # Generations.

    async def newer(self, node: str, generation: int) -> int:
        """``node`` has taken over ``generation``; return the next one when there is one."""
        if self.identity_of(node) is not None:
            self.installed[node] = generation
            self._change()
        while self.generation <= generation:
            await self._changed.wait()
        return self.generation

    async def renew_all(self) -> None:
        """Make every agent fetch a new certificate, and return when all have one."""
        self.generation += 1
        self._change()
        await self._everybody()

    async def rotate(self) -> None:
        """Trust a new root beside the old one, then sign by it; returns when all have followed."""
        self._issuing = len(self.authorities) - 1
        self._add(f"mesh lab root {self._next_number()}")
        await self.renew_all()
        self._issuing = -1
        await self.renew_all()

    async def finish(self) -> int:
        """Forget every root but the newest; returns how many when all agents have followed."""
        old = self.authorities[:-1]
        for authority in old:
            self._path(authority).unlink(missing_ok=True)
        del self.authorities[:-1]
        if old:
            await self.renew_all()
        return len(old)

    async def _everybody(self) -> None:
        while any(each < self.generation for each in self.installed.values()):
            await self._changed.wait()

    def _change(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    def _next_number(self) -> int:
        return max(int(each.name.rpartition(" ")[2]) for each in self.authorities) + 1

    def _add(self, name: str) -> None:
        authority = make_authority(name, self.now())
        path = self._path(authority)
        descriptor = os.open(path.with_suffix(".tmp"), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(authority.to_pem())
        path.with_suffix(".tmp").replace(path)
        self.authorities.append(authority)

    def _path(self, authority: Authority) -> Path:
        return self.folder / f"authority-{int(authority.name.rpartition(' ')[2]):04}.pem"


def fingerprint(certificate: x509.Certificate) -> bytes:
    """Return the SHA-256 of a certificate."""
    return hashlib.sha256(certificate.public_bytes(serialization.Encoding.DER)).digest()


def _names(csr: x509.CertificateSigningRequest) -> set[str]:
    """Return all names that a request asks for."""
    try:
        found = csr.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return set()
    return {str(each.value) for each in found}
