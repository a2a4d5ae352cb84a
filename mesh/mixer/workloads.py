"""Workloads: whose record it is, and whose address that was.

Istio's metrics name workloads, not addresses: ``source_workload`` and ``destination_workload`` are
Deployments, ``*_app`` and ``*_version`` labels of their pods.  A pod that is gone stays known:
its records may still be read.  See it with ``meshctl status``.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from mesh.topology import DOMAIN_SUFFIX

UNKNOWN = "unknown"
"""What Istio writes where it does not know."""


@dataclass(frozen=True, slots=True)
class Workload:
    """One pod (or gateway) with what telemetry says about it.

    ``kind`` is ``sidecar`` or ``router`` (a gateway), ``""`` for a pod without a sidecar;
    ``log`` the path of its access log, ``admin_port`` 0 without a sidecar; ``admin_socket`` is the
    Unix socket that takes the port's place in a container.
    """

    pod: str
    namespace: str
    workload: str
    app: str
    version: str
    service: str = ""
    service_account: str = ""
    kind: str = "sidecar"
    log: str = ""
    admin_port: int = 0
    admin_socket: str = ""
    labels: dict[str, str] = field(default_factory=dict)

    @property
    def principal(self) -> str:
        """The SPIFFE identity, ``spiffe://cluster.local/ns/tutorial/sa/customer``."""
        return f"spiffe://{DOMAIN_SUFFIX}/ns/{self.namespace}/sa/{self.service_account}"

    @property
    def canonical_service(self) -> str:
        """Istio's label ``canonical_service``: what people call the application."""
        return self.labels.get("service.istio.io/canonical-name") or self.app or self.workload

    @property
    def canonical_revision(self) -> str:
        """Istio's label ``canonical_revision``: the version, ``latest`` without one."""
        version = "latest" if self.version == UNKNOWN else self.version
        return self.labels.get("service.istio.io/canonical-revision") or version


NOBODY = Workload("", UNKNOWN, UNKNOWN, UNKNOWN, UNKNOWN, kind="", service_account="")
"""Who is not in the mesh, or cannot be told."""


class Workloads:
    """All workloads ever known, by pod and by address."""

    def __init__(self) -> None:
        self._pods: dict[str, Workload] = {}
        self._addresses: dict[str, Workload] = {}
        self.hosts: frozenset[str] = frozenset()
        self.running: frozenset[str] = frozenset()

    def update(self, state: dict[str, Any]) -> None:
        """Take over the state of the mesh that the control plane sent."""
        pods = {each["name"]: each for each in state["pods"]}
        nodes = {each["pod"]: each for each in state["nodes"]}
        for name in {*pods, *nodes}:
            known = _workload(name, pods.get(name), nodes.get(name))
            old = self._pods.get(name)
            if old is None or name in pods or not old.service:
                self._pods[name] = known
            for port in (pods.get(name) or {}).get("ports", {}).values():
                self._addresses[f"{pods[name]['address']}:{port}"] = self._pods[name]
        self.running = frozenset({*pods, *nodes})
        self.hosts = frozenset(_hostname(each) for each in state["services"])

    def all(self) -> Iterable[Workload]:
        """Return every workload, those that are gone too."""
        return self._pods.values()

    def of_pod(self, name: str) -> Workload:
        """Return the workload of a pod; NOBODY for a name that was never there."""
        return self._pods.get(name, NOBODY)

    def at(self, address: str) -> Workload:
        """Return who listens at ``IP:PORT``; NOBODY when it is nobody's."""
        return self._addresses.get(address, NOBODY)

    def sender(self, node_id: str, principal: str) -> Workload:
        """Return who sent a request: by certificate, else by what its sidecar said.

        The name in a header counts only where the certificate does not contradict it; a
        certificate alone names the workload when all pods of its service account are of one.
        """
        named = NOBODY
        parts = node_id.split("~")
        if len(parts) == 4:
            named = self.of_pod(parts[2].partition(".")[0])
        if not principal or named.principal == principal:
            return named
        fitting = [each for each in self._pods.values() if each.principal == principal]
        return fitting[0] if len({each.workload for each in fitting}) == 1 else NOBODY


def _hostname(service: dict[str, Any]) -> str:
    return f"{service['name']}.{service['namespace']}.svc.{DOMAIN_SUFFIX}"


def _workload(name: str, pod: dict[str, Any] | None, node: dict[str, Any] | None) -> Workload:
    known = pod or node or {}
    labels = dict(known.get("labels") or {})
    app = labels.get("app", "")
    services = (node or {}).get("services") or []
    service = services[0] if services else ""
    if pod and not service:
        service = _hostname({"name": pod["service"], "namespace": pod["namespace"]})
    injected = bool(node and node.get("admin_port"))
    return Workload(
        pod=name,
        namespace=known.get("namespace", UNKNOWN),
        workload=pod["workload"] if pod else _deployment(name),
        app=app or UNKNOWN,
        version=labels.get("version", "") or UNKNOWN,
        service=service,
        service_account=known.get("service_account", ""),
        kind=str((node or {}).get("type", "sidecar")) if injected else "",
        log=str((node or {}).get("access_log", "")),
        admin_port=int((node or {}).get("admin_port", 0)),
        admin_socket=str((node or {}).get("admin_socket", "")),
        labels=labels,
    )


def _deployment(pod: str) -> str:
    """``istio-ingressgateway-<hash>-<random>`` -> ``istio-ingressgateway``."""
    return pod.rsplit("-", 2)[0]
