"""Handler: what all paths of the control plane's HTTP API share: JSON in, JSON out, one sentence."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from tornado.web import HTTPError, RequestHandler

from mesh.pilot.ads import Outcome
from mesh.pilot.control_plane import ControlPlane
from mesh.pilot.node import ProxyNode
from mesh.pilot.store import Key


class Handler(RequestHandler):
    """What all paths share: JSON in, JSON out, one sentence for an error."""

    plane: ControlPlane

    def initialize(self, plane: ControlPlane) -> None:
        """Take the control plane."""
        self.plane = plane

    def body(self) -> dict[str, Any]:
        """Return the request's JSON object; 400 when it is none."""
        try:
            data = json.loads(self.request.body or b"{}")
        except ValueError as error:
            raise HTTPError(400, reason=f"the body is not JSON: {error}") from None
        if not isinstance(data, dict):
            raise HTTPError(400, reason="the body is not a JSON object")
        return data

    def read[T](self, what: Callable[[], T]) -> T:
        """Return ``what()``; 400 when the request does not have the shape that it needs."""
        try:
            return what()
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            name = f"missing or wrong: {error}"
            raise HTTPError(400, reason=f"{self.request.path}: {name}") from None

    def keys(self, rows: list[dict[str, Any]]) -> list[Key]:
        """Return (kind, namespace, name) of each row."""
        own = self.plane.namespace
        return [(str(r["kind"]), str(r.get("namespace") or own), str(r["name"])) for r in rows]

    def node(self, name: str) -> ProxyNode:
        """Return a node by id or pod name; 404 with the names that exist."""
        found = self.plane.find(name)
        if found is None:
            known = ", ".join(sorted(each.name for each in self.plane.nodes.values())) or "none"
            raise HTTPError(404, reason=f'no pod "{name}"; there are: {known}')
        return found

    def answer(self, data: object) -> None:
        """Write JSON."""
        self.set_header("content-type", "application/json")
        self.write(json.dumps(data))

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        """Answer an error as JSON."""
        cause = kwargs.get("exc_info", (None, None))[1]
        reason = cause.reason if isinstance(cause, HTTPError) and cause.reason else str(cause)
        self.set_status(status_code, "error")
        self.answer({"error": reason})

    def send_error(self, status_code: int = 500, **kwargs: Any) -> None:
        """Keep the sentence out of the status line, where it may not stand."""
        kwargs.pop("reason", None)
        self.clear()
        self.set_status(status_code, "error")
        self.write_error(status_code, **kwargs)
        self.finish()


def outcome_to_dict(outcome: Outcome) -> dict[str, Any]:
    """Return the JSON form of an outcome."""
    return {
        "in_force": outcome.in_force,
        "nacks": [each.as_dict() for each in outcome.nacks],
        "missing": list(outcome.missing),
        "reason": outcome.reason,
    }
