"""Evidence: access logs and journals of a cluster's pods, complete up to the moment of asking.

Each read sends barriers first (``journals``): a request by every proxy that only that proxy answers, and one
to every application.  A proxy logs a request a moment after its client has the answer, so before
that no request may be under way (statistic ``downstream_rq_active``, where Istio keeps it).
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from mesh.accesslog import AccessLogRecord, parse_record
from mesh.testbed.client import TestbedError
from mesh.testbed.kubernetes.in_force import HOST
from mesh.testbed.kubernetes.journals import TEXT, Follower
from mesh.testbed.kubernetes.pods import PROXY, ClusterPod

BARRIER = "/mesh-lab-barrier-"
APP = "app"
ACTIVE = r"downstream_rq_active$"
_NOT_TRAFFIC = ("http.admin.", "http.agent.", "http.stats.")
"""Connection managers by which a proxy itself is asked, as by this question."""
_ROUNDS = 20
_FIRST_SECONDS = 2.0
_FIRST_ROUNDS = 15
NEEDED = ("request_id", "response_code", "response_flags", "downstream_peer_uri_san")
"""Fields of the access log without which verdicts would be wrong, not only poorer."""

_REMEDY = "install Istio with the file istio-install.yaml that `meshctl export kubernetes` writes"

Send = Callable[[ClusterPod, str], None]
"""Sends a request for that path by a pod's proxy, or to its application."""


@dataclass(slots=True)
class Evidence:
    """The logs of all pods ever followed; ``proxy`` and ``app`` send barriers."""

    proxy: Send
    app: Send
    stats: Callable[[ClusterPod, str], dict[str, int]]
    _followers: dict[tuple[str, str], Follower] = field(default_factory=dict)
    _pods: dict[str, ClusterPod] = field(default_factory=dict)

    def follow(self, pods: Iterable[ClusterPod], *, fresh: bool = False) -> None:
        """Follow pods that are not followed yet; ``fresh``: from their beginning, they are new."""
        new = [pod for pod in pods if pod.name not in self._pods]
        asked = []
        for pod in new:
            self._pods[pod.name] = pod
            for container in self._containers(pod):
                follower = Follower(pod.namespace, pod.name, container)
                follower.start(whole=fresh)
                self._followers[pod.name, container] = follower
                asked.append((pod, container, follower))
        with ThreadPoolExecutor(16, thread_name_prefix="follow") as pool:
            list(pool.map(lambda each: self._first(*each), asked))

    def forget(self, pod: str) -> None:
        """A pod has ended: what it wrote stays, it is waited for no more."""
        self._pods.pop(pod, None)

    def access_log(self, pods: Iterable[ClusterPod], pod: str = "") -> list[AccessLogRecord]:
        """Return the records of ``pod``, or of all pods, those that ended too."""
        chosen = [each for each in pods if each.injected and pod in ("", each.name)]
        self._quiet(chosen)
        self._barrier(chosen, PROXY, self.proxy)
        return [
            _record(name, line)
            for (name, container), follower in self._followers.items()
            if container == PROXY and pod in ("", name)
            for line in follower.read()
            if "response_code" in line and not str(line.get("path", "")).startswith(BARRIER)
            if not _own(line)
        ]

    def journal(self, pods: Iterable[ClusterPod], pod: str = "") -> list[dict[str, Any]]:
        """Return what ``pod``'s application, or all, handled, in order of time."""
        chosen = [each for each in pods if not each.gateway and pod in ("", each.name)]
        self._barrier(chosen, APP, self.app)
        found = [
            line
            for (name, container), follower in self._followers.items()
            if container == APP and pod in ("", name)
            for line in follower.read()
            if "counter" in line and BARRIER not in str(line.get("path", ""))
        ]
        return sorted(found, key=lambda line: float(line["time"]))

    def close(self) -> None:
        """End all processes."""
        for follower in self._followers.values():
            follower.close()

    def _containers(self, pod: ClusterPod) -> list[str]:
        return [*([] if pod.gateway else [APP]), *([PROXY] if pod.injected else [])]

    def _first(self, pod: ClusterPod, container: str, follower: Follower) -> None:
        """Return when what is written now reaches the follower."""
        send = self.proxy if container == PROXY else self.app
        for _ in range(_FIRST_ROUNDS):
            path = BARRIER + secrets.token_hex(8)
            send(pod, path)
            if line := follower.wait_for(path, _FIRST_SECONDS):
                lacking = [name for name in NEEDED if name not in line]
                if container == PROXY and TEXT in line:
                    raise TestbedError(f"Istio's access log is not JSON: {_REMEDY}")
                if container == PROXY and lacking:
                    told = ", ".join(lacking)
                    raise TestbedError(f"Istio's access log has no field {told}: {_REMEDY}")
                return
        if container == PROXY:
            raise TestbedError(
                f"the proxy of {pod.name} writes no access log to its standard output: {_REMEDY}"
            )
        raise TestbedError(
            f"the application of {pod.name} writes no journal to its standard output: is it the "
            "lab's, as `meshctl export kubernetes` writes it?"
        )

    def _quiet(self, pods: list[ClusterPod]) -> None:
        with ThreadPoolExecutor(8, thread_name_prefix="quiet") as pool:
            waiting = pods
            for _ in range(_ROUNDS):
                active = pool.map(lambda pod: self.stats(pod, ACTIVE), waiting)
                waiting = [pod for pod, each in zip(waiting, active, strict=True) if _busy(each)]
                if not waiting:
                    return

    def _barrier(self, pods: list[ClusterPod], container: str, send: Send) -> None:
        def one(pod: ClusterPod) -> None:
            path = BARRIER + secrets.token_hex(8)
            send(pod, path)
            self._followers[pod.name, container].expect(path)

        with ThreadPoolExecutor(16, thread_name_prefix="barrier") as pool:
            list(pool.map(one, pods))


def _busy(active: dict[str, int]) -> bool:
    return any(
        value for name, value in active.items() if value and not name.startswith(_NOT_TRAFFIC)
    )


def _own(line: dict[str, Any]) -> bool:
    """Whether a record is of the kit's marker (``in_force``)."""
    return str(line.get("authority", "")).startswith(HOST)


def _record(pod: str, line: dict[str, Any]) -> AccessLogRecord:
    """Return a line of Istio's log as the kit's record; its direction follows from the cluster."""
    known = dict(line)
    if "direction" not in known:
        inbound = str(known.get("upstream_cluster") or "").startswith("inbound|")
        known["direction"] = "inbound" if inbound else "outbound"
    return parse_record(pod, json.dumps(known))
