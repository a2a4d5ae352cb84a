"""Plan: what the load driver shall do, written down before it does it.

A grader needs few requests (some hundred) but must know each of them, so a plan counts requests,
not seconds: a slow machine takes longer and reaches the same verdict.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Literal, get_args

Mode = Literal["barrier", "stream"]
Connections = Literal["keep", "new"]


@dataclass(frozen=True, slots=True)
class Plan:
    """One stretch of traffic.

    ``probe`` names it (and starts its request ids, with ``nonce``); ``host`` is
    ``http://127.0.0.1:PORT``, ``path`` starts with ``/``; ``users`` send at the same time, each
    waits for its answer and then ``think_seconds``.  ``batch`` requests make a batch, ``requests``
    is the most that is sent.

    ``mode`` ``barrier``: a batch is sent, all its answers are awaited, then the parent says
    ``continue`` or ``stop`` (deciding on single completions would prefer fast answers).
    ``stream``: the users never pause until the parent says ``stop``; batches only report.

    ``connections`` ``keep`` lets each user keep its connection, ``new`` opens one for each request.
    ``timeout`` is per request, in seconds.  After ``give_up`` seconds (0: never) a user stops
    waiting and the observation is ``slow``: what is delayed shows so without being waited out.
    ``output`` is the JSONL file, ``""`` for none.
    """

    probe: str
    host: str
    requests: int
    path: str = "/"
    method: str = "GET"
    body: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    users: int = 8
    batch: int = 25
    mode: Mode = "barrier"
    connections: Connections = "keep"
    think_seconds: float = 0.0
    timeout: float = 20.0
    give_up: float = 0.0
    nonce: str = ""
    output: str = ""

    def __post_init__(self) -> None:
        """Refuse what cannot be meant; ValueError says which field."""
        for name in ("requests", "users", "batch"):
            if getattr(self, name) < 1:
                raise ValueError(f"the plan's {name} must be at least 1, not {getattr(self, name)}")
        if not self.host.startswith(("http://", "https://")):
            raise ValueError(f"the plan's host must start with http://, not {self.host!r}")
        if not self.path.startswith("/"):
            raise ValueError(f"the plan's path must start with /, not {self.path!r}")
        if self.mode not in get_args(Mode):
            raise ValueError(f"the plan's mode must be barrier or stream, not {self.mode!r}")
        if self.connections not in get_args(Connections):
            raise ValueError(f"the plan's connections must be keep or new, not {self.connections}")
        if self.timeout <= 0 or self.think_seconds < 0 or self.give_up < 0:
            raise ValueError(
                "the plan's timeout must be above 0, its think_seconds and give_up not below 0"
            )

    def request_id(self, index: int) -> str:
        """The ``x-request-id`` of request number ``index``."""
        return "-".join(part for part in (self.probe, self.nonce, f"{index:05d}") if part)

    def to_json(self) -> str:
        """One line for the driver's standard input."""
        return json.dumps(asdict(self))


def from_json(line: str) -> Plan:
    """Read a plan; ValueError says in one sentence what is wrong with it."""
    data: Any = json.loads(line)
    if not isinstance(data, dict):
        raise ValueError("a plan is a JSON object")
    unknown = sorted(set(data) - {item.name for item in fields(Plan)})
    if unknown:
        raise ValueError(f"a plan has no field {unknown[0]!r}")
    try:
        return Plan(**data)
    except TypeError as error:
        raise ValueError(f"the plan does not fit: {error}") from error
