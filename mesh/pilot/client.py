"""PilotClient: how the CLI, the testbed and the grader talk to the control plane.

Synchronous, over its Unix socket.  Every failure is a PilotError with one sentence.
"""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from mesh.istio.problem import Level, Position, Problem
from mesh.pilot.node import ProxyNode
from mesh.pilot.status import Nack, NodeStatus
from mesh.pilot.wire import pod_to_dict, service_to_dict
from mesh.topology import Pod, Service
from mesh.unixhttp import ask, hold


class PilotError(Exception):
    """The control plane did not answer, or refused a request; the text is one sentence."""


@dataclass(frozen=True, slots=True)
class ApplyResult:
    """The answer to ``apply`` and ``delete``; ``seconds`` until in force, ``reason`` why not."""

    problems: tuple[Problem, ...]
    applied: tuple[str, ...]
    in_force: bool
    seconds: float
    nacks: tuple[Nack, ...]
    reason: str


@dataclass(frozen=True, slots=True)
class ForceResult:
    """The answer to ``in_force``: who refused, who is ``missing``, and the sentence for it."""

    in_force: bool
    nacks: tuple[Nack, ...]
    missing: tuple[str, ...]
    reason: str


@dataclass(frozen=True, slots=True)
class PilotClient:
    """The control plane at ``socket_path``; ``timeout`` in seconds for one request."""

    socket_path: str | Path
    timeout: float = 30.0

    def ready(self) -> bool:
        """True when the control plane answers."""
        try:
            return bool(self._call("GET", "/ready")["ready"])
        except PilotError:
            return False

    def apply(
        self,
        documents: Sequence[tuple[str, str]],
        era: str = "",
        keep: Iterable[tuple[str, str, str]] | None = None,
    ) -> ApplyResult:
        """Apply (file, text) documents and wait until they are in force.

        With ``keep`` they are the whole configuration: what else is applied goes, except these.
        """
        body: dict[str, Any] = {"documents": [{"file": f, "text": t} for f, t in documents]}
        if era:
            body["era"] = era
        if keep is not None:
            body["keep"] = [{"kind": k, "namespace": ns, "name": n} for k, ns, n in keep]
        return _apply_result(self._call("POST", "/apply", body))

    def delete(self, resources: Iterable[tuple[str, str, str]]) -> ApplyResult:
        """Remove resources by (kind, namespace, name); an empty namespace is the mesh's own."""
        listed = [{"kind": k, "namespace": ns, "name": n} for k, ns, n in resources]
        return _apply_result(self._call("POST", "/delete", {"resources": listed}))

    def resources(self) -> list[dict[str, Any]]:
        """Return what is applied: kind, apiVersion, namespace, name, file, line, text."""
        return list(self._call("GET", "/resources"))

    def services(self) -> list[dict[str, Any]]:
        """Return services: hostname, ports, pods."""
        return list(self._call("GET", "/services"))

    def add_services(self, services: Iterable[Service]) -> None:
        """Make services known."""
        self._call("POST", "/services", {"services": [service_to_dict(each) for each in services]})

    def add_pods(self, pods: Iterable[tuple[ProxyNode | None, Pod | None]]) -> dict[str, str]:
        """Register nodes (None: no sidecar) and the pods behind them (None for a gateway).

        Returns a bootstrap token for each new node (none without a certificate authority).
        """
        listed = [
            {
                "node": node.as_dict() if node else None,
                "pod": pod_to_dict(pod) if pod else None,
            }
            for node, pod in pods
        ]
        answer = self._call("POST", "/pods", {"add": listed})
        return dict(answer["tokens"])

    def remove_pods(self, names: Iterable[tuple[str, str]]) -> None:
        """Forget pods by (name, namespace)."""
        listed = [{"name": name, "namespace": namespace} for name, namespace in names]
        self._call("POST", "/pods", {"remove": listed})

    def drain_pods(self, names: Iterable[tuple[str, str]]) -> ForceResult:
        """Take pods by (name, namespace) out of the load balancing; their sidecars stay connected."""
        listed = [{"name": name, "namespace": namespace} for name, namespace in names]
        return _force_result(self._call("POST", "/drain", {"pods": listed}))

    def in_force(self, nodes: Sequence[str] | None = None, timeout: float = 10.0) -> ForceResult:
        """Wait until nodes (names or ids; None: all connected ones) have their configuration."""
        body: dict[str, Any] = {"timeout": timeout}
        if nodes is not None:
            body["nodes"] = list(nodes)
        return _force_result(self._call("POST", "/in-force", body, timeout + self.timeout))

    @contextmanager
    def tap(self, name: str, namespace: str, ports: dict[int, int]) -> Iterator[None]:
        """Lead a pod's clients to other ports (service port -> port) while the block runs."""
        told = {
            "name": name,
            "namespace": namespace,
            "ports": {str(k): v for k, v in ports.items()},
        }
        try:
            with hold(self.socket_path, "/tap", told, 2 * self.timeout) as (status, line):
                data = json.loads(line)
                if status != http.client.OK or not data["in_force"]:
                    raise PilotError(str(data.get("error") or data.get("reason") or status))
                yield
        except (OSError, ValueError, http.client.HTTPException) as error:
            raise PilotError(f"the control plane at {self.socket_path}: {error}") from error

    def proxy_status(self) -> list[NodeStatus]:
        """Return a row for each node."""
        return [
            NodeStatus(**{**each, "nacks": _nacks(each["nacks"])})
            for each in self._call("GET", "/proxy-status")
        ]

    def snapshot(self, node: str) -> dict[str, Any]:
        """Return a node's xDS as JSON: ``CDS``, ``EDS``, ``LDS``, ``RDS`` -> name -> resource."""
        return dict(self._call("GET", f"/snapshot/{quote(node, safe='')}"))

    def proxy_config(self, node: str, view: str) -> tuple[list[str], list[list[str]]]:
        """Return columns and rows of clusters, listeners, routes or endpoints."""
        data = self._call("GET", f"/proxy-config/{quote(node, safe='')}/{quote(view, safe='')}")
        return data["columns"], data["rows"]

    def citadel(self, action: str = "") -> dict[str, Any]:
        """Return the authority's state, after ``rotate``, ``finish`` or ``renew``."""
        if not action:
            return dict(self._call("GET", "/citadel"))
        return dict(self._call("POST", f"/citadel/{action}", {}))

    def _call(
        self,
        method: str,
        path: str,
        body: dict[str, Any] | None = None,
        timeout: float | None = None,
    ) -> Any:
        try:
            status, text = ask(self.socket_path, method, path, body, timeout or self.timeout)
        except (OSError, http.client.HTTPException) as error:
            raise PilotError(
                f"the control plane at {self.socket_path} does not answer ({error}): is the mesh up?"
            ) from error
        try:
            data = json.loads(text)
        except ValueError:
            raise PilotError(f"the control plane answered {status} without JSON") from None
        if status != http.client.OK:
            raise PilotError(str(data.get("error", status)))
        return data


def _nacks(data: Iterable[dict[str, Any]]) -> tuple[Nack, ...]:
    return tuple(Nack(**each) for each in data)


def _force_result(data: dict[str, Any]) -> ForceResult:
    return ForceResult(
        data["in_force"], _nacks(data["nacks"]), tuple(data["missing"]), data["reason"]
    )


def _apply_result(data: dict[str, Any]) -> ApplyResult:
    return ApplyResult(
        tuple(_problem(each) for each in data["problems"]),
        tuple(data["applied"]),
        data["in_force"],
        data["seconds"],
        _nacks(data["nacks"]),
        data["reason"],
    )


def _problem(data: dict[str, Any]) -> Problem:
    fields = dict(data)
    place = Position(fields.pop("file"), fields.pop("line"), fields.pop("column"))
    return Problem(position=place, level=Level(fields.pop("level")), **fields)
