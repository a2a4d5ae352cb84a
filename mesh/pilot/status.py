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

    ``names`` are the resources asked for by name (``asked``: all that are needed), ``sent`` what the
    client has been sent, ``nonce`` the last response's, ``answered`` whether the client acknowledged
    or refused that, ``error`` the reason of a refusal, ``in_flight`` the names in every response that
    waits for an answer.  Of those that may have to be sent, ``todo`` are names whose resource may
    be another one now, ``due`` go out although they are the same, ``refused`` with the next response.
    """

    requested: bool = False
    names: frozenset[str] = frozenset()
    asked: bool = True
    sent: dict[str, bytes] = field(default_factory=dict)
    nonce: str = ""
    answered: bool = True
    error: str = ""
    in_flight: dict[str, frozenset[str]] = field(default_factory=dict)
    todo: set[str] = field(default_factory=set)
    due: set[str] = field(default_factory=set)
    refused: set[str] = field(default_factory=set)

    @property
    def word(self) -> str:
        """The word of ``proxy-status``."""
        if not self.nonce:
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
