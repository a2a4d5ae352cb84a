"""Ways: how a request gets to the gateway, out of a pod, to its proxy alone and to its application.

The gateway has an address; everything else goes through relays (``kubectl exec`` into the pod), so that
what comes out of them is captured by the pod's sidecar as its application's own requests are.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from urllib.parse import quote, urlsplit

from mesh.testbed import request
from mesh.testbed.base import Answer
from mesh.testbed.client import TestbedError
from mesh.testbed.kubernetes import able, in_force
from mesh.testbed.kubernetes.in_force import Marker
from mesh.testbed.kubernetes.kubectl import Kubectl, NotOfferedError
from mesh.testbed.kubernetes.pods import PROXY, ClusterPod
from mesh.testbed.kubernetes.relay import Relays
from mesh.topology import Topology

MOST_SKEW = 1.0
"""Seconds by which the cluster's clock may differ: evidence of one's own run is told by its time."""


class Ways:
    """The ways into the lab of ``topology``; ``url`` is the gateway's, ``""`` without one."""

    def __init__(self, kubectl: Kubectl, topology: Topology, marker: Marker) -> None:
        self.url = ""
        self._kubectl = kubectl
        self._topology = topology
        self._marker = marker
        self._relays: Relays | None = None

    def open(self) -> None:
        """Be ready to make relays."""
        self._relays = Relays()

    def close(self) -> bool:
        """End the relays; False when there are none."""
        relays, self._relays = self._relays, None
        if relays is not None:
            relays.close()
        return relays is not None

    @property
    def relays(self) -> Relays:
        """The relays; TestbedError before the start."""
        if self._relays is None:
            raise TestbedError("the lab was not started")
        return self._relays

    def check_clocks(self, pods: Iterable[ClusterPod]) -> None:
        """Raise TestbedError when a pod's clock is not this machine's."""
        for pod in pods:
            skew = self.relays.skew(pod.namespace, pod.name)
            if abs(skew) > MOST_SKEW:
                raise TestbedError(
                    f"the clock of the cluster is {abs(skew):.1f} s {'ahead' if skew > 0 else 'behind'} "
                    "(of this machine's): let both follow a time server, for the grader tells its "
                    "own run's records by their time"
                )

    def to_gateway(
        self, path: str, headers: Mapping[str, str], method: str = "GET", body: bytes = b""
    ) -> Answer:
        """Send one request to the ingress gateway."""
        if not self.url:
            raise TestbedError("this mesh has no gateway: say from which pod the request comes")
        url = urlsplit(self.url)
        given = {"host": url.netloc, **{name.lower(): value for name, value in headers.items()}}
        place = (url.hostname or "", url.port or 80)
        return request.send(place, path, method=method, headers=given, body=body)

    def out_of(
        self, pod: ClusterPod, target: str, headers: Mapping[str, str], method: str, body: bytes
    ) -> Answer:
        """Send one request out of a pod to a URL, as its application would."""
        url = urlsplit(target)
        if url.scheme != "http":
            raise NotOfferedError(
                f"from a pod of a cluster only http:// is asked for, not {target!r}"
            )
        path = (url.path or "/") + (f"?{url.query}" if url.query else "")
        given = {"host": url.netloc, **{name.lower(): value for name, value in headers.items()}}
        port = self.relays.port(pod.namespace, pod.name)
        return request.send(port, path, method=method, headers=given, body=body)

    def to_proxy(self, pod: ClusterPod) -> int:
        """Return a port whose requests meet the pod's proxy, whatever name they are for."""
        target = f"http {in_force.NOWHERE}:{self._marker.port}"
        return self.relays.port(pod.namespace, pod.name, target)

    def to_application(self, pod: ClusterPod, path: str, headers: dict[str, str]) -> Answer:
        """Ask a pod's application itself, past its sidecar: from within the pod."""
        service = next(each for each in self._topology.services if each.name == pod.service)
        target = f"raw 127.0.0.1:{service.ports[0].number}"
        port = self.relays.port(pod.namespace, pod.name, target)
        return request.send(port, path, method="GET", headers=headers, body=b"")

    def by_proxy(self, pod: ClusterPod, path: str) -> None:
        """Let a pod's proxy log a request that it answers by itself."""
        if pod.gateway:
            self.to_gateway(path, {"host": in_force.HOST})
            return
        given = {"host": self._marker.authority}
        request.send(self.to_proxy(pod), path, method="GET", headers=given, body=b"")

    def by_application(self, pod: ClusterPod, path: str) -> None:
        """Let a pod's application write a request into its journal."""
        app = next(
            each.app
            for service in self._topology.services
            for each in service.workloads
            if each.name == pod.workload
        )
        if reason := able.no_journal(app):
            raise NotOfferedError(reason)
        target, headers = able.journaled(app, path)
        self.to_application(pod, target, headers)

    def await_in_force(self, pods: Iterable[ClusterPod], gateways: Iterable[ClusterPod]) -> None:
        """Return when every proxy among these has the marker, and nothing is warming there."""
        injected, gates = [pod for pod in pods if pod.injected], list(gateways)
        asks = {
            pod.name: in_force.ask_by(self.to_proxy(pod), self._marker.authority)
            for pod in injected
        }
        asks |= {gateway.name: self._ask_gateway for gateway in gates}
        in_force.await_marker(asks, self._marker)
        in_force.await_warm([*injected, *gates], self.stats)

    def _ask_gateway(self, headers: dict[str, str]) -> tuple[int, str]:
        answer = self.to_gateway("/", {"host": in_force.HOST, **headers})
        return answer.status, answer.text

    def stats(self, pod: ClusterPod, pattern: str) -> dict[str, int]:
        """Return a proxy's counters and gauges whose name the regex ``pattern`` finds."""
        query = f"stats?format=json&filter={quote(pattern, safe='')}"
        there = self._kubectl.within(pod.namespace)
        text = there.run(
            "exec", pod.name, "-c", PROXY, "--", "pilot-agent", "request", "GET", query
        )
        try:
            found = json.loads(text)["stats"]
        except (ValueError, KeyError, TypeError):
            raise TestbedError(
                f"the proxy of {pod.name} answered no statistics: {text[:80]!r}"
            ) from None
        return {each["name"]: each["value"] for each in found if "value" in each}
