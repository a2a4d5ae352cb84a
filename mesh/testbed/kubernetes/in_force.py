"""In force: how one knows that a change has reached every proxy of a cluster.

istiod tells nobody with kubectl alone which proxy has acknowledged what.  So each change is followed by
a marker: a VirtualService for a host of the kit's own that every proxy answers by itself
(``directResponse``) with a number, which is a new one each time.  It stands in the same route configuration as the
lab's own routes and is applied after everything else; istiod pushes clusters, endpoints and
listeners before routes, so a proxy that answers with the new number has the change, too.  Each
proxy is asked until it does: kubectl has no event for it, and this is the one place that has to ask
again and again.  Then its clusters and listeners must have warmed up.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from mesh.testbed import request
from mesh.testbed.client import NoAnswerError, TestbedError
from mesh.testbed.kubernetes.pods import ClusterPod

HOST = "applied.mesh-lab.internal"
NAME = "mesh-lab-marker"
NOWHERE = "192.0.2.1"
"""An address that nobody has (RFC 5737): only a captured connection to it is answered."""
SECONDS = 60.0
PAUSE = 0.1
"""Seconds between two questions to a proxy that still has the old configuration."""
WORKERS = 3
"""Connections that must agree: each ends at one of the proxy's threads."""
WARMING = r"^(cluster|listener)_manager\.(warming_clusters|total_listeners_warming)$"

Document = dict[str, Any]
Ask = Callable[[dict[str, str]], tuple[int, str]]
"""Sends a request with these headers by one proxy; returns status and body."""


@dataclass(slots=True)
class Marker:
    """The marker of a lab in ``namespace``, whose services listen at ``port``."""

    namespace: str
    port: int
    gateway: bool
    number: str = field(default_factory=lambda: secrets.token_hex(8))

    @property
    def authority(self) -> str:
        """The Host by which a sidecar is asked."""
        return f"{HOST}:{self.port}"

    def frame(self) -> list[Document]:
        """Return what stays: the host, and the gateway's server for it."""
        entry = {
            "hosts": [HOST],
            "location": "MESH_INTERNAL",
            "resolution": "STATIC",
            "ports": [{"number": self.port, "name": "http", "protocol": "HTTP"}],
            "endpoints": [{"address": NOWHERE}],
        }
        found = [self._document("ServiceEntry", entry)]
        if self.gateway:
            server = {"port": {"number": 80, "name": "http", "protocol": "HTTP"}, "hosts": [HOST]}
            spec = {"selector": {"istio": "ingressgateway"}, "servers": [server]}
            found.append(self._document("Gateway", spec))
        return found

    def next(self) -> Document:
        """Return the route that answers with a new number."""
        self.number = secrets.token_hex(8)
        ways = ["mesh", *([NAME] if self.gateway else [])]
        answer = {"directResponse": {"status": 200, "body": {"string": self.number}}}
        return self._document(
            "VirtualService", {"hosts": [HOST], "gateways": ways, "http": [answer]}
        )

    def _document(self, kind: str, spec: Document) -> Document:
        meta = {"name": NAME, "namespace": self.namespace}
        return {
            "apiVersion": "networking.istio.io/v1",
            "kind": kind,
            "metadata": meta,
            "spec": spec,
        }


def ask_by(port: int, authority: str) -> Ask:
    """Return how the proxy behind a port of this machine (a relay's) is asked."""

    def ask(headers: dict[str, str]) -> tuple[int, str]:
        given = {"host": authority, **headers}
        answer = request.send(port, "/", method="GET", headers=given, body=b"")
        return answer.status, answer.text

    return ask


def await_marker(asks: dict[str, Ask], marker: Marker, seconds: float = SECONDS) -> None:
    """Return when every proxy answers with the marker's number; TestbedError names the others."""
    end = time.monotonic() + seconds
    with ThreadPoolExecutor(16, thread_name_prefix="marker") as pool:
        late = [
            name
            for name, done in zip(
                asks,
                pool.map(lambda ask: _await_one(ask, marker.number, end), asks.values()),
                strict=True,
            )
            if not done
        ]
    if late:
        raise TestbedError(
            f"the change is not in force at {', '.join(sorted(late))} after {seconds:.0f} s: does "
            f"istiod run, and does no Sidecar resource hide the host {HOST}?"
        )


def _await_one(ask: Ask, number: str, end: float) -> bool:
    agreeing = 0
    while agreeing < WORKERS:
        try:
            agreeing = agreeing + 1 if ask({}) == (200, number) else 0
        except NoAnswerError:
            agreeing = 0
        if not agreeing:
            if time.monotonic() > end:
                return False
            time.sleep(PAUSE)  # there is no event to wait for
    return True


def await_warm(
    pods: Sequence[ClusterPod],
    stats: Callable[[ClusterPod, str], dict[str, int]],
    seconds: float = SECONDS,
) -> None:
    """Return when nothing is warming at any proxy; TestbedError names where something still is."""
    end = time.monotonic() + seconds
    waiting = list(pods)
    with ThreadPoolExecutor(8, thread_name_prefix="warm") as pool:
        while waiting:
            found = list(pool.map(lambda pod: stats(pod, WARMING), waiting))
            waiting = [pod for pod, each in zip(waiting, found, strict=True) if any(each.values())]
            if waiting and time.monotonic() > end:
                names = ", ".join(pod.name for pod in waiting)
                raise TestbedError(f"clusters or listeners are still warming at {names}")
            if waiting:
                time.sleep(PAUSE)  # as above
