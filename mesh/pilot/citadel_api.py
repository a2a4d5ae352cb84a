"""The certificate authority's part of the HTTP API.

    POST   /citadel/sign                 {csr, token} or {csr, certificate, signature}
                                         -> chain, roots, lifetime, generation
    GET    /citadel/newer/NODE/NUMBER    answers when there is a generation after NUMBER
    GET    /citadel                      -> roots, issuer, generation, agents
    POST   /citadel/rotate  /citadel/finish  /citadel/renew

In a real mesh istiod serves the first over gRPC (``IstioCertificateService``); root rotation is
done by replacing the Secret ``cacerts``.
"""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Awaitable
from dataclasses import asdict
from typing import Any

from tornado.web import HTTPError

from mesh.citadel.citadel import Citadel, RefusedError, SigningRequest
from mesh.pilot.handler import Handler


class CitadelHandler(Handler):
    """What the paths share."""

    @property
    def citadel(self) -> Citadel:
        """Return the authority; 404 in a mesh without one."""
        if self.plane.citadel is None:
            raise HTTPError(404, reason="this mesh has no certificate authority")
        return self.plane.citadel

    def shown(self) -> dict[str, Any]:
        """Return its state."""
        citadel = self.citadel
        names = {key: node.name for key, node in self.plane.nodes.items()}
        return {
            "roots": [_root(citadel, number) for number in range(len(citadel.authorities))],
            "issuer": citadel.issuing.name,
            "lifetime": citadel.lifetime.total_seconds(),
            "generation": citadel.generation,
            "agents": {names[key]: each for key, each in citadel.installed.items() if key in names},
        }

    async def within_deadline(self, work: Awaitable[object]) -> None:
        """Wait for ``work``, not for ever; 504 names the agents that have not followed."""
        try:
            async with asyncio.timeout(self.plane.deadline):
                await work
        except TimeoutError:
            citadel = self.citadel
            late = [name for name, done in citadel.installed.items() if done < citadel.generation]
            raise HTTPError(
                504, reason=f"no answer of the agents of {', '.join(sorted(late))}"
            ) from None


class Sign(CitadelHandler):
    """POST /citadel/sign."""

    def post(self) -> None:
        """Sign a request; 403 says why not."""
        body = self.body()
        request = self.read(
            lambda: SigningRequest(
                str(body["csr"]),
                str(body.get("token", "")),
                str(body.get("certificate", "")),
                base64.b64decode(body.get("signature", "")),
            )
        )
        try:
            self.answer(asdict(self.citadel.issue(request)))
        except RefusedError as error:
            raise HTTPError(403, reason=str(error)) from None


class Newer(CitadelHandler):
    """GET /citadel/newer/NODE/NUMBER."""

    _waiting: asyncio.Task[Any] | None = None

    async def get(self, node: str, number: str) -> None:
        """Answer when there is something new."""
        waiting = asyncio.ensure_future(self.citadel.newer(node, int(number)))
        self._waiting = waiting
        try:
            self.answer({"generation": await waiting})
        except asyncio.CancelledError:
            return

    def on_connection_close(self) -> None:
        """Stop waiting for an agent that is gone."""
        if self._waiting is not None:
            self._waiting.cancel()


class Shown(CitadelHandler):
    """GET /citadel."""

    def get(self) -> None:
        """Return the state."""
        self.answer(self.shown())


class Rotate(CitadelHandler):
    """POST /citadel/rotate."""

    async def post(self) -> None:
        """Bring in a new root; answers when every sidecar works with it."""
        await self.within_deadline(self.citadel.rotate())
        self.answer(self.shown())


class Finish(CitadelHandler):
    """POST /citadel/finish."""

    async def post(self) -> None:
        """Forget the old roots."""
        await self.within_deadline(self.citadel.finish())
        self.answer(self.shown())


class Renew(CitadelHandler):
    """POST /citadel/renew."""

    async def post(self) -> None:
        """Give every sidecar a new certificate; answers when all have it."""
        await self.within_deadline(self.citadel.renew_all())
        self.answer(self.shown())


def _root(citadel: Citadel, number: int) -> dict[str, str]:
    authority = citadel.authorities[number]
    return {
        "name": authority.name,
        "serial": f"{authority.root.serial_number:x}",
        "not_before": authority.root.not_valid_before_utc.isoformat(),
        "not_after": authority.root.not_valid_after_utc.isoformat(),
    }


PATHS: list[tuple[str, type[Handler]]] = [
    (r"/citadel", Shown),
    (r"/citadel/sign", Sign),
    (r"/citadel/newer/([^/]+)/(\d+)", Newer),
    (r"/citadel/rotate", Rotate),
    (r"/citadel/finish", Finish),
    (r"/citadel/renew", Renew),
]
