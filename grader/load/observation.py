"""Observation: what the client saw of one request.

The load driver makes them, the grader judges them, and ``observations.jsonl`` keeps them, one
JSON object a line, so that a verdict can be reached again without traffic.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

HEADERS_OF_INTEREST = (
    "server",
    "x-request-id",
    "x-envoy-upstream-service-time",
    "retry-after",
    "content-type",
)
"""The response headers that are kept."""

MAX_BODY = 2000
"""Characters of a body that are kept; the services' texts are far shorter."""

_ANSWER = re.compile(r"recommendation (?P<version>v\d+)\b.* from '(?P<pod>[^']+)': (?P<count>\d+)")


@dataclass(frozen=True, slots=True)
class Observation:
    """One request that was issued.

    ``index`` counts from 0 within a plan, ``batch`` from 0; ``request_id`` was sent as
    ``x-request-id`` and stands in every access log and journal that saw the request; ``status`` 0
    means that no answer came, ``error`` then says why; ``start`` is in seconds since 1970,
    ``seconds`` is how long the client waited; ``probe`` names the plan.  ``slow``: the client
    stopped waiting after the plan's ``give_up`` seconds (status 0, no error).
    """

    index: int
    batch: int
    request_id: str
    status: int
    body: str
    headers: dict[str, str] = field(default_factory=dict)
    start: float = 0.0
    seconds: float = 0.0
    error: str = ""
    probe: str = ""
    slow: bool = False

    @property
    def version(self) -> str:
        """The version of recommendation that answered (``v2``); ``""`` when none did."""
        match = _ANSWER.search(self.body) if self.status == 200 else None
        return match["version"] if match else ""

    @property
    def pod(self) -> str:
        """The pod of recommendation that answered; ``""`` when none did."""
        match = _ANSWER.search(self.body) if self.status == 200 else None
        return match["pod"] if match else ""

    def as_dict(self) -> dict[str, Any]:
        """The JSON form, one key a field."""
        return asdict(self)


def from_dict(data: dict[str, Any]) -> Observation:
    """The inverse of ``Observation.as_dict``; TypeError when a field is missing or unknown."""
    return Observation(**data)


def write_jsonl(path: Path, observations: Iterable[Observation]) -> None:
    """Write ``observations`` to ``path`` in one piece."""
    lines = [json.dumps(item.as_dict(), ensure_ascii=False) + "\n" for item in observations]
    path.write_text("".join(lines), encoding="utf-8")


def read_jsonl(path: Path) -> tuple[Observation, ...]:
    """Read what ``write_jsonl`` wrote."""
    lines = path.read_text(encoding="utf-8").splitlines()
    return tuple(from_dict(json.loads(line)) for line in lines if line)
