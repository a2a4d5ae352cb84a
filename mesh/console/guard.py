"""Guard: who may speak to the console.

A page on 127.0.0.1 can be reached by any other page in the same browser, and by names that an
attacker points at 127.0.0.1 (DNS rebinding).  So the Host must be one of ours, an Origin must be
ours too, and everything needs the token that stands in the address ``meshctl console`` printed;
it is kept in a cookie that no other site sends along.  ``--public-origin`` admits one further
origin (Codespaces, JupyterHub).
"""

from __future__ import annotations

import hmac
import secrets
from dataclasses import dataclass, field
from urllib.parse import urlsplit

COOKIE = "mesh-console"


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a request is refused: an HTTP status and one sentence."""

    status: int
    reason: str


@dataclass(frozen=True, slots=True)
class Guard:
    """``port`` is the console's own on loopback, ``public_origin`` a URL like ``https://a.example``."""

    port: int
    public_origin: str = ""
    token: str = field(default_factory=lambda: secrets.token_urlsafe(24), repr=False)

    @property
    def origins(self) -> tuple[str, ...]:
        """The origins whose pages may ask."""
        own = tuple(f"http://{name}:{self.port}" for name in ("127.0.0.1", "localhost"))
        return (*own, self.public_origin) if self.public_origin else own

    def check(self, host: str, origin: str, token: str) -> Refusal | None:
        """Return why not, None when the request may go on; an empty ``origin`` was not sent."""
        hosts = {urlsplit(each).netloc for each in self.origins}
        if host not in hosts:
            return Refusal(403, f"this console does not answer to the name {host!r}")
        if origin and origin not in self.origins:
            return Refusal(403, f"pages of {origin!r} may not speak to this console")
        if not hmac.compare_digest(token.encode(), self.token.encode()):
            return Refusal(401, "open the address that `meshctl console` printed, with its token")
        return None


def read_origin(text: str) -> str:
    """Check ``--public-origin``: scheme and host, nothing else; ValueError says what is wrong."""
    parts = urlsplit(text)
    if parts.scheme not in ("http", "https") or not parts.netloc or parts.path.strip("/"):
        raise ValueError(f"{text!r} is no origin: write https://name.example, without a path")
    return f"{parts.scheme}://{parts.netloc}"
