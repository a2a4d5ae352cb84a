"""Bootstrap tokens: how a pod that has no certificate yet shows which service account it is.

In Kubernetes the kubelet puts a token for the pod's service account into the pod, and istiod asks
the API server whether it is genuine.  Here the control plane gives one to whoever registers the
pod (the testbed), which puts it into the pod's folder.  A token is for one pod, is good once,
and not for long; after that the certificate itself proves who asks (``mesh.citadel.citadel``).
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field

LIFETIME = 600.0
"""Seconds that a token is good for."""


class TokenError(Exception):
    """A token that is not accepted; one sentence."""


@dataclass(slots=True)
class Tokens:
    """Makes and takes tokens; ``clock`` is Unix time in seconds.  The key lives in memory only."""

    clock: Callable[[], float]
    _key: bytes = field(default_factory=lambda: secrets.token_bytes(32))
    _used: dict[str, float] = field(default_factory=dict)

    def mint(self, node_id: str) -> str:
        """Return a token for the node."""
        claims = {"node": node_id, "exp": self.clock() + LIFETIME, "jti": secrets.token_hex(16)}
        body = base64.urlsafe_b64encode(json.dumps(claims).encode()).decode()
        return f"{body}.{self._signature(body)}"

    def take(self, token: str) -> str:
        """Return the node that the token is for, and use it up; TokenError when it is not good."""
        body, _, signature = token.partition(".")
        if not hmac.compare_digest(signature.encode(), self._signature(body).encode()):
            raise TokenError("the bootstrap token was not issued by this control plane")
        claims = json.loads(base64.urlsafe_b64decode(body))
        now = self.clock()
        self._used = {jti: until for jti, until in self._used.items() if until > now}
        if claims["exp"] <= now:
            raise TokenError(f"the bootstrap token has expired ({LIFETIME:g} s after its issue)")
        if claims["jti"] in self._used:
            raise TokenError("the bootstrap token was used before")
        self._used[claims["jti"]] = claims["exp"]
        return str(claims["node"])

    def _signature(self, body: str) -> str:
        return hmac.new(self._key, body.encode(), hashlib.sha256).hexdigest()
