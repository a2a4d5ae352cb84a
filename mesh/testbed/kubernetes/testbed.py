"""KubernetesTestbed: a lab on a cluster with the real Istio, behind the testbeds' interface.

It starts nothing: the lab's applications run there already (``meshctl export kubernetes``), and
belong to the user.  It applies and removes Istio resources in their namespaces, sends requests to the
ingress gateway or (``kubectl exec``) out of pods, and reads logs.  What no visitor of a cluster can do
is a NotOfferedError, and the check that needs it says so.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote, urlsplit

from mesh.accesslog import AccessLogRecord
from mesh.istio.eras import era as era_named
from mesh.istio.load import load_text
from mesh.istio.resource import Resource
from mesh.kubernetes.export.objects import listening
from mesh.pilot.client import ApplyResult
from mesh.testbed import request
from mesh.testbed.base import Answer, ApplyError, Document
from mesh.testbed.client import TestbedError
from mesh.testbed.documents import documents
from mesh.testbed.kubernetes import able, in_force
from mesh.testbed.kubernetes import kubectl as tool
from mesh.testbed.kubernetes import pods as podlib
from mesh.testbed.kubernetes.configuration import Configuration, Name, for_cluster, name_of
from mesh.testbed.kubernetes.evidence import Evidence
from mesh.testbed.kubernetes.in_force import Marker
from mesh.testbed.kubernetes.ingress import ingress_url
from mesh.testbed.kubernetes.kubectl import Kubectl, KubectlError, NotOfferedError
from mesh.testbed.kubernetes.lock import Lock, this_process
from mesh.testbed.kubernetes.pods import PROXY, ClusterPod
from mesh.testbed.kubernetes.relay import Relays
from mesh.testbed.load_topology import ingress_yaml
from mesh.topology import Pod, Topology

MOST_SKEW = 1.0
"""Seconds by which the cluster's clock may differ: evidence of one's own run is told by its time."""


class KubernetesTestbed:
    """The lab of ``topology`` on the cluster of kubectl's context; ``target`` is its ingress."""

    def __init__(
        self, topology: Topology, *, era: str = "istio-current", target: str = "", **_: Any
    ) -> None:
        self.topology = topology
        self.era = era
        self.context = ""
        self._target = target
        self._kubectl = Kubectl()
        self._relays: Relays | None = None
        spaces = list(dict.fromkeys(each.namespace for each in topology.services))
        self._configuration = Configuration(self._kubectl, spaces)
        self._lock = Lock(self._kubectl, spaces, this_process())
        self._marker = Marker(
            topology.namespace, topology.services[0].ports[0].number, bool(topology.gateway)
        )
        self._ingress: set[Name] = set()
        self._evidence = Evidence(self._by_proxy, self._by_application, self._stats_of)
        self._gateways: list[ClusterPod] = []
        self._url = ""
        self._own: list[Any] = []

    # The life of it.

    def start(self) -> None:
        """Look at the cluster and take the lab over; TestbedError says what it lacks."""
        if reason := able.obstacle(self.topology, era_named(self.era)):
            raise NotOfferedError(reason)
        self.context = tool.check(self._kubectl)
        remedy = (
            "`meshctl export kubernetes --lab N` writes it, `kubectl apply -k` brings it there."
        )
        podlib.check_workloads(self._kubectl, self.topology, remedy)
        try:
            self._take_over()
        except BaseException:
            self.stop()
            raise

    def _take_over(self) -> None:
        if self.topology.gateway:
            self._url = ingress_url(self._kubectl, self.topology.gateway, self._target)
            self._gateways = podlib.gateways(self._kubectl)
            if len(self._gateways) != 1:
                count = len(self._gateways) or "no"
                raise TestbedError(
                    f"the ingress gateway has {count} pods, and is graded with one: `kubectl "
                    f"--namespace istio-system scale deployment {self.topology.gateway} --replicas 1`"
                )
        self._relays = Relays()
        running = self._running()
        bare = [pod.name for pod in running if not pod.injected and self._wants_sidecar(pod)]
        if bare:
            raise TestbedError(
                f"{', '.join(bare)} has no sidecar: `kubectl label namespace {self.topology.namespace} "
                "istio-injection=enabled`, and `kubectl rollout restart deployment` there"
            )
        for pod in running:
            skew = self._way.skew(pod.namespace, pod.name)
            if abs(skew) > MOST_SKEW:
                raise TestbedError(
                    f"the clock of the cluster is {abs(skew):.1f} s {'ahead' if skew > 0 else 'behind'} "
                    "(of this machine's): let both follow a time server, for the grader tells its "
                    "own run's records by their time"
                )
        self._lock.take()  # after the clocks were compared: its end is a time
        self._configuration.look()
        ingress = load_text(ingress_yaml(self.topology), "ingress.yaml", era=era_named(self.era))
        default = for_cluster(ingress.resources, era_named(self.era))
        self._own = [*default, *self._marker.frame()]
        self._ingress = {name_of(each) for each in self._own}
        self._bring(self._own, whole=True)
        self._evidence.follow([*running, *self._gateways])

    def keep(self) -> str:
        """Leave what is in force there; returns the context's name."""
        self._let_go()
        self._lock.release()
        return self.context

    def stop(self) -> None:
        """Let the lab go: what was applied is removed, except the default ingress."""
        if not self._let_go():
            return
        marker = {name for name in self._configuration.applied if name[2] == in_force.NAME}
        try:
            if self._lock.ours():  # else it is another's by now
                self._configuration.remove(
                    [
                        name
                        for name in self._configuration.applied
                        if name not in self._ingress - marker
                    ]
                )
            self._lock.release()
        except KubectlError as problem:
            print(
                f"What was applied is still in the cluster ({problem}): `kubectl --namespace "
                f"{self.topology.namespace} get istio-io` lists it.",
                file=sys.stderr,
            )

    def _let_go(self) -> bool:
        """End the processes of this machine; False when there are none."""
        self._evidence.close()
        relays, self._relays = self._relays, None
        if relays is not None:
            relays.close()
        return relays is not None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    # What is in it.

    @property
    def gateway_url(self) -> str:
        """Where the ingress gateway is reached; ``""`` without one."""
        return self._url

    def proxy_url(self, pod: str) -> str:
        """Return a port of this machine whose requests leave the pod as its application's do."""
        found = self._find(pod)
        return f"http://127.0.0.1:{self._way.port(found.namespace, found.name)}"

    def pods(self) -> tuple[Pod, ...]:
        """Return the running pods, by name.

        Their addresses are relays by a pod without a sidecar, as somebody outside of the mesh would
        come; where the lab has none, asking for a port is a NotOfferedError.
        """
        running = self._running()
        outside = next((pod for pod in running if not pod.injected), None)
        return tuple(self._pod(each, outside) for each in running)

    def _wants_sidecar(self, pod: ClusterPod) -> bool:
        loads = [each for service in self.topology.services for each in service.workloads]
        return any(each.injected for each in loads if each.name == pod.workload)

    def _pod(self, pod: ClusterPod, outside: ClusterPod | None) -> Pod:
        service = next(each for each in self.topology.services if each.name == pod.service)
        ports: dict[int, int] = able.NoWay(pod.name)
        if outside is not None:
            for number, there in listening(service).items():
                target = f"raw {pod.address}:{there}"
                ports[number] = self._way.port(outside.namespace, outside.name, target)
        return Pod(
            name=pod.name,
            namespace=pod.namespace,
            service=pod.service,
            workload=pod.workload,
            labels=pod.labels,
            service_account=pod.account,
            address="127.0.0.1",
            ports=ports,
        )

    # What can be done with it.

    def apply(
        self, what: Iterable[Path | str | Document | Resource], *, era: str = ""
    ) -> ApplyResult:
        """Apply configuration and wait until it is in force; ApplyError when it is refused."""
        items = list(what)
        whole = all(isinstance(item, Resource) for item in items)
        release = era_named(era or self.era)
        resources = [
            resource
            for file, text in documents(items)
            for resource in load_text(
                text, file, era=release, namespace=self.topology.namespace
            ).resources
        ]
        converted = for_cluster(resources, release)
        for each in converted:
            each["metadata"].setdefault("namespace", self.topology.namespace)
        self._bring(converted, whole=whole)
        names = tuple(f"{each['kind']}/{each['metadata']['name']}" for each in converted)
        return _result(names)

    def delete(self, resources: Iterable[tuple[str, str, str]]) -> ApplyResult:
        """Remove resources by (kind, namespace, name) and wait until that is in force."""
        wanted = {(kind.partition(".")[0], space, name) for kind, space, name in resources}
        gone = [
            name
            for name in self._configuration.applied
            if (name[0].partition(".")[0], *name[1:]) in wanted
        ]
        self._lock.renew()
        self._configuration.remove(gone)
        self._configuration.apply([self._marker.next()])
        self._await_in_force()
        return _result(tuple(f"{kind}/{name}" for kind, _, name in gone))

    def kill_pod(self, name: str) -> Pod:
        """Kill a pod at once; returns the one that its Deployment put in its place."""
        victim = self._find(name)
        self._evidence.access_log([victim], victim.name)  # what it wrote is read before it goes
        self._evidence.journal([victim], victim.name)
        before = {pod.name for pod in self._running()}
        there = self._kubectl.within(victim.namespace)
        self._evidence.forget(victim.name)
        there.run("delete", "pod", victim.name, "--grace-period=0", "--force")
        return self._settled(victim, before)[0]

    def restart(
        self, name: str, *, grace: float = 0.0, told: Callable[[str], None] = lambda text: None
    ) -> list[Pod]:
        """Replace a workload's pods as its Deployment does (``kubectl rollout restart``)."""
        victim = self._find(name)
        before = {pod.name for pod in self._running()}
        there = self._kubectl.within(victim.namespace)
        there.run("rollout", "restart", f"deployment/{victim.workload}")
        return self._settled(victim, before)

    def _settled(self, like: ClusterPod, before: set[str]) -> list[Pod]:
        """Wait for a Deployment's new pods, and return them."""
        there = self._kubectl.within(like.namespace)
        words = ("rollout", "status", f"deployment/{like.workload}", "--timeout=120s")
        there.run(*words, patience=150)
        new = [pod for pod in self._running() if pod.name not in before]
        if not new:
            raise TestbedError(f"no new pod of {like.workload} is ready")
        self._evidence.follow(new, fresh=True)
        self._await_in_force()
        names = {pod.name for pod in new}
        return [pod for pod in self.pods() if pod.name in names]

    def scale(self, workload: str, replicas: int) -> tuple[list[str], list[str]]:
        """Let a workload have so many pods (``kubectl scale``): names added, names removed."""
        service = next(
            (
                each
                for each in self.topology.services
                if workload in {w.name for w in each.workloads}
            ),
            None,
        )
        if service is None:
            raise TestbedError(f"there is no workload {workload}")
        before = {pod.name for pod in self._running()}
        self.access_log()
        self.journal()
        there = self._kubectl.within(service.namespace)
        there.run("scale", "deployment", workload, f"--replicas={replicas}")
        there.run("rollout", "status", f"deployment/{workload}", "--timeout=120s", patience=150)
        now = self._running()
        names = {pod.name for pod in now}
        for gone in before - names:
            self._evidence.forget(gone)
        self._evidence.follow([pod for pod in now if pod.name not in before], fresh=True)
        self._await_in_force()
        return sorted(names - before), sorted(before - names)

    def kill_pilot(self) -> None:
        """Not offered: a cluster's istiod serves others, too."""
        raise NotOfferedError("the control plane of a cluster is not the grader's to kill")

    def start_pilot(self) -> None:
        """Not offered either."""
        raise NotOfferedError("the control plane of a cluster is not the grader's to start")

    def reload_filter(self, pod: str) -> None:
        """Not offered: a filter in Python runs in the kit's own sidecar only."""
        raise NotOfferedError("a filter in Python runs in the kit's own sidecar only")

    @property
    def run(self) -> Any:
        """Not offered: a mesh of the kit's has a folder here, with its authority's keys."""
        raise NotOfferedError("the keys of a cluster's authority are not the grader's to read")

    def telemetry(self, *, spans: bool = False) -> Any:
        """Not offered: Prometheus and a trace collector are not part of what kubectl reaches."""
        raise NotOfferedError("metrics and traces are not read from a cluster")

    # Requests and what was written down.

    def request(
        self,
        path: str,
        *,
        from_pod: str | None = None,
        headers: Mapping[str, str] | None = None,
        method: str = "GET",
        body: bytes = b"",
    ) -> Answer:
        """Send one request to the gateway, or out of ``from_pod`` to a URL."""
        if from_pod is None:
            return self._at_gateway(path, headers or {}, method, body)
        url = urlsplit(path)
        if url.scheme != "http":
            raise NotOfferedError(
                f"from a pod of a cluster only http:// is asked for, not {path!r}"
            )
        target = (url.path or "/") + (f"?{url.query}" if url.query else "")
        given = {
            "host": url.netloc,
            **{name.lower(): value for name, value in (headers or {}).items()},
        }
        found = self._find(from_pod)
        port = self._way.port(found.namespace, found.name)
        return request.send(port, target, method=method, headers=given, body=body)

    def _at_gateway(
        self, path: str, headers: Mapping[str, str], method: str, body: bytes
    ) -> Answer:
        if not self._url:
            raise TestbedError("this mesh has no gateway: say from which pod the request comes")
        url = urlsplit(self._url)
        given = {"host": url.netloc, **{name.lower(): value for name, value in headers.items()}}
        place = (url.hostname or "", url.port or 80)
        return request.send(place, path, method=method, headers=given, body=body)

    def tell(self, pod: str, path: str) -> Answer:
        """Ask a pod's application itself, past its sidecar: from within the pod."""
        return self._to_application(self._find(pod), path, {})

    def stats(self, pod: str, pattern: str) -> dict[str, int]:
        """Return a sidecar's counters and gauges whose name the regex ``pattern`` finds."""
        found = podlib.find([*self._running(), *self._gateways], pod)
        if not found.injected:
            raise TestbedError(f"{found.name} has no sidecar")
        return self._stats_of(found, pattern)

    def logs(self, name: str) -> str:
        """Return what the pod's application and its sidecar printed."""
        pod = podlib.find([*self._running(), *self._gateways], name)
        there = self._kubectl.within(pod.namespace)
        return there.run("logs", pod.name, "--all-containers", "--prefix")

    def access_log(self, pod: str = "") -> tuple[AccessLogRecord, ...]:
        """Return the records of one or all pods, gateway included, since the start."""
        pods = [*self._running(), *self._gateways]
        name = podlib.find(pods, pod).name if pod else ""
        return tuple(self._evidence.access_log(pods, name))

    def journal(self, pod: str = "") -> tuple[dict[str, Any], ...]:
        """Return what the applications handled since the start, in order of time."""
        pods = self._running()
        name = podlib.find(pods, pod).name if pod else ""
        return tuple(self._evidence.journal(pods, name))

    # Details.

    @property
    def _way(self) -> Relays:
        if self._relays is None:
            raise TestbedError("the lab was not started")
        return self._relays

    def _running(self) -> list[ClusterPod]:
        return podlib.running(self._kubectl, self.topology)

    def _find(self, name: str) -> ClusterPod:
        return podlib.find(self._running(), name)

    def _bring(self, converted: list[dict[str, Any]], *, whole: bool) -> None:
        """Apply documents, remove what they replace, and wait until all of it is in force."""
        self._lock.renew()
        try:
            if whole:
                marker = [name for name in self._configuration.applied if name[2] == in_force.NAME]
                self._configuration.replace(converted, {*self._ingress, *marker})
            else:
                self._configuration.apply(converted)
            self._configuration.apply([self._marker.next()])
        except KubectlError as problem:
            raise ApplyError(_result((), str(problem))) from None
        self._await_in_force()

    def _await_in_force(self) -> None:
        injected = [pod for pod in self._running() if pod.injected]
        asks = {
            pod.name: in_force.ask_by(self._to_proxy(pod), self._marker.authority)
            for pod in injected
        }
        for gateway in self._gateways:
            asks[gateway.name] = self._ask_gateway
        in_force.await_marker(asks, self._marker)
        in_force.await_warm([*injected, *self._gateways], self._stats_of)

    def _ask_gateway(self, headers: dict[str, str]) -> tuple[int, str]:
        answer = self._at_gateway("/", {"host": in_force.HOST, **headers}, "GET", b"")
        return answer.status, answer.text

    def _by_proxy(self, pod: ClusterPod, path: str) -> None:
        """Let a pod's proxy log a request that it answers by itself."""
        if pod.gateway:
            self._at_gateway(path, {"host": in_force.HOST}, "GET", b"")
            return
        given = {"host": self._marker.authority}
        request.send(self._to_proxy(pod), path, method="GET", headers=given, body=b"")

    def _to_proxy(self, pod: ClusterPod) -> int:
        """Return a port whose requests meet the pod's proxy, whatever name they are for."""
        target = f"http {in_force.NOWHERE}:{self._marker.port}"
        return self._way.port(pod.namespace, pod.name, target)

    def _by_application(self, pod: ClusterPod, path: str) -> None:
        """Let a pod's application write a request into its journal."""
        app = next(
            each.app
            for service in self.topology.services
            for each in service.workloads
            if each.name == pod.workload
        )
        if reason := able.no_journal(app):
            raise NotOfferedError(reason)
        target, headers = able.journaled(app, path)
        self._to_application(pod, target, headers)

    def _to_application(self, pod: ClusterPod, path: str, headers: dict[str, str]) -> Answer:
        service = next(each for each in self.topology.services if each.name == pod.service)
        target = f"raw 127.0.0.1:{service.ports[0].number}"
        port = self._way.port(pod.namespace, pod.name, target)
        return request.send(port, path, method="GET", headers=headers, body=b"")

    def _stats_of(self, pod: ClusterPod, pattern: str) -> dict[str, int]:
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


def _result(applied: tuple[str, ...], reason: str = "") -> ApplyResult:
    return ApplyResult((), applied, not reason, 0.0, (), reason)
