"""Status: what each sidecar was sent, what it accepted and what it refused.

In a real mesh ``istioctl proxy-status`` shows it: SYNCED (accepted what was sent), STALE (sent, not
accepted: no answer yet, or refused), NOT SENT (there was nothing to send).
Shown by ``meshctl proxy-status``.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

SYNCED = "SYNCED"
STALE = "STALE"
NOT_SENT = "NOT SENT"


@dataclass(slots=True)
class TypeState:
    """One xDS type on one stream.

    ``names`` are the resources asked for (None: all), ``sent`` the packed resources of the last
    response, ``nonce`` its nonce, ``answered`` whether the client acknowledged or refused it,
    ``error`` the reason of a refusal, ``due`` that it has to be sent again although it is the same.
    """

    requested: bool = False
    names: frozenset[str] | None = None
    sent: dict[str, bytes] | None = None
    sent_version: str = ""
    acked_version: str = ""
    nonce: str = ""
    answered: bool = True
    error: str = ""
    due: bool = False

    @property
    def word(self) -> str:
        """The word of ``proxy-status``."""
        if self.sent is None:
            return NOT_SENT
        return SYNCED if self.answered and not self.error else STALE


@dataclass(frozen=True, slots=True)
class Nack:
    """A refusal: which node, which type (``RDS``), Envoy's reason, and the YAML it came from."""

    node: str
    type: str
    reason: str
    resource: str = ""
    file: str = ""
    line: int = 0

    def as_dict(self) -> dict[str, Any]:
        """The JSON form."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class NodeStatus:
    """A row of ``proxy-status``: words by type (``CDS`` ...), the version, refusals."""

    name: str
    connected: bool
    version: str = ""
    types: dict[str, str] = field(default_factory=dict)
    nacks: tuple[Nack, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """The JSON form."""
        return asdict(self)
