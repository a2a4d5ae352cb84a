"""MeshTestbed: a running mesh, whatever its pods run in, and what can be asked and done.

``LocalTestbed`` starts processes of this machine, ``ComposeTestbed`` containers.  What is known of
the mesh is also in its run folder (``mesh.json``), so that another command can take up a kept one.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mesh.accesslog import AccessLogRecord
from mesh.istio.resource import Resource
from mesh.mixer.client import MixerClient, MixerError
from mesh.pilot.client import ApplyResult, PilotClient, PilotError
from mesh.state import RunFolder
from mesh.testbed import hops, records, request
from mesh.testbed import pods as podlib
from mesh.testbed.base import Answer, ApplyError, Document
from mesh.testbed.block import Block
from mesh.testbed.client import TestbedError
from mesh.testbed.documents import Key, documents
from mesh.testbed.draining import GRACE_SECONDS
from mesh.testbed.engines import engine as engine_named
from mesh.testbed.kept import restore_pods, write_state
from mesh.testbed.load_topology import ingress_yaml
from mesh.testbed.pods import LocalPod
from mesh.testbed.podset import PodSet
from mesh.topology import Pod, Topology

if TYPE_CHECKING:
    from mesh.testbed.tap import Wire

MOST_REPLICAS = 10
"""Each pod is two processes of this machine."""


class MeshTestbed(Block):
    """A mesh of ``topology``; ``engine`` is mitmproxy or envoy.

    ``seed`` goes into the pods' names: the same seed, the same names.  ``certificate_seconds``: the
    lifetime of the sidecars' certificates, 0 for Istio's 24 hours.  ``sampling``: percent of the
    requests that are traced where no Telemetry resource says it.
    """

    def __init__(
        self,
        topology: Topology,
        *,
        engine: str = "mitmproxy",
        era: str = "istio-current",
        seed: str = "",
        certificate_seconds: float = 0.0,
        sampling: float = 100.0,
    ) -> None:
        self.topology = topology
        self.engine = engine
        self.era = era
        self.seed = seed
        self.certificate_seconds = certificate_seconds
        self.sampling = sampling
        self._engine = engine_named(engine)
        self._folder: RunFolder | None = None
        self._deployment: PodSet | None = None
        self._ingress: set[Key] = set()
        self._records = records.Records()

    # The life of a mesh.

    @abstractmethod
    def keep(self) -> str:
        """Let the mesh live on after this command; returns its name."""

    @abstractmethod
    def leave(self) -> None:
        """Let go of a kept mesh, which goes on."""

    def _apply_ingress(self) -> None:
        ingress = ingress_yaml(self.topology)
        if ingress:
            self._checked(self.pilot.apply([("ingress.yaml", ingress)], self.era))
            self._ingress = set(self._applied())

    def _state(self) -> dict[str, object]:
        """What another command needs to take up this mesh."""
        running = self._running()
        return {
            "topology": self.topology,
            "engine": self.engine,
            "era": self.era,
            "seed": self.seed,
            "gateway_url": self.gateway_url,
            "pods": running.pods,
            "killed": running.killed,
            "count": running.count,
            "mixer_port": running.mixer_port,
            "ingress": sorted(self._ingress),
        }

    def _save(self) -> None:
        write_state(self.run, self._state())

    def _take_up(self, run: RunFolder, deployment: PodSet, state: Mapping[str, Any]) -> None:
        """Go on with a kept mesh whose pods ``deployment`` shall know."""
        restore_pods(deployment, state)
        self._folder, self._deployment = run, deployment
        self._ingress = {(kind, space, name) for kind, space, name in state["ingress"]}

    # What is in it.

    @property
    def run(self) -> RunFolder:
        """The folder of this mesh; TestbedError when it does not run."""
        if self._folder is None:
            raise TestbedError("this mesh does not run")
        return self._folder

    @property
    def pilot(self) -> PilotClient:
        """The control plane."""
        return self._running().pilot

    @property
    def mixer(self) -> MixerClient:
        """Metrics, traces and the service graph, as far as they were written (``telemetry``)."""
        return self._running().mixer

    @property
    def metrics_url(self) -> str:
        """Where Prometheus finds the metrics of all pods, and in ``/targets`` those of each."""
        return f"http://127.0.0.1:{self._running().mixer_port}/metrics"

    def pages(self) -> dict[str, str]:
        """Return the addresses of what stands beside the mesh; locally nothing does."""
        return {}

    def telemetry(self, *, spans: bool = False) -> MixerClient:
        """Return ``mixer`` once it knows all that happened so far; with ``spans``, all traces."""
        running, _ = self._chosen("")
        records.flush(running)
        try:
            self.mixer.sync(spans=spans)
        except MixerError as problem:
            raise TestbedError(str(problem)) from None
        return self.mixer

    @property
    def gateway_url(self) -> str:
        """Where the mesh is reached from outside; ``""`` without a gateway."""
        for pod in self._running().pods.values():
            if pod.gateway and pod.pod is None:
                return f"http://127.0.0.1:{pod.node.gateway_ports[podlib.GATEWAY_PORTS[0]]}"
        return ""

    def gateway_port(self, number: int) -> int:
        """Return the port of this machine that is a port of the gateway's Service."""
        for pod in self._running().pods.values():
            if pod.pod is None and number in pod.node.gateway_ports:
                return pod.node.gateway_ports[number]
        raise TestbedError(f"this mesh has no gateway with a port {number}")

    def proxy_url(self, pod: str) -> str:
        """Return the outbound listener of a pod, to send requests as its application does."""
        return f"http://127.0.0.1:{self.find(pod).node.outbound_port}"

    def environment(self, pod: str) -> dict[str, str]:
        """Return what a pod's application is told of raw TCP services (``ECHO_SERVICE_PORT``)."""
        return self._running().environment(self.find(pod))

    def pods(self) -> tuple[Pod, ...]:
        """Return the pods of applications in the order of their names."""
        found = sorted(self._running().pods.items())
        return tuple(each.pod for _, each in found if each.pod and not each.gateway)

    def proxies(self) -> tuple[str, ...]:
        """Return the names of all pods that have a sidecar, gateways included."""
        return tuple(sorted(name for name, pod in self._running().pods.items() if pod.injected))

    def find(self, name: str) -> LocalPod:
        """Return a pod by its name or the beginning of it; the first of several replicas."""
        return self._running().find(name)

    # What can be done with it.

    def apply(
        self, what: Iterable[Path | str | Document | Resource], *, era: str = ""
    ) -> ApplyResult:
        """Apply and wait until it is in force; ApplyError when it is refused.

        Files and texts are added, as ``kubectl apply`` does.  Resources are the whole
        configuration: what else was applied is removed with it, except the default ingress.
        """
        items = list(what)
        whole = all(isinstance(item, Resource) for item in items)
        return self._asking(lambda: self._apply(items, whole, era or self.era))

    def _apply(
        self, items: list[Path | str | Document | Resource], whole: bool, era: str
    ) -> ApplyResult:
        keep = sorted(self._ingress) if whole else None
        return self._checked(self.pilot.apply(documents(items), era, keep))

    def delete(self, resources: Iterable[Key]) -> ApplyResult:
        """Remove resources by (kind, namespace, name) and wait until that is in force."""
        return self._asking(lambda: self._checked(self.pilot.delete(resources)))

    def _applied(self) -> list[Key]:
        rows = self.pilot.resources()
        return [(row["kind"], row["namespace"], row["name"]) for row in rows]

    def kill_pod(self, name: str) -> Pod:
        """Kill a pod as ``kill -9`` would; its Deployment replaces it under a new name."""
        victim = self.find(name)
        if victim.pod is None or victim.gateway:
            raise TestbedError(f"{victim.name} is no pod of a service: kill one of those")
        new = self._asking(lambda: self._running().replace(victim))
        self._save()
        return new

    def restart(
        self,
        name: str,
        *,
        grace: float = GRACE_SECONDS,
        told: Callable[[str], None] = lambda text: None,
    ) -> list[Pod]:
        """Replace the pods of ``name`` (a pod, workload or service), one by one; no request fails.

        A new pod is ready before an old one leaves, and that ends when its clients have (or after
        ``grace`` seconds).  ``told`` hears of each step.  Returns the new pods.
        """
        victims = self._running().chosen(name)
        new = []
        for victim in victims:
            if victim.pod is None or victim.gateway:
                raise TestbedError(f"{victim.name} is no pod of a service: restart one of those")

            def step(text: str) -> None:
                self._save()
                told(text)

            try:
                new.append(self._asking(lambda: self._running().restart(victim, grace, step)))  # noqa: B023
            finally:
                self._save()
        return new

    def scale(self, workload: str, replicas: int) -> tuple[list[str], list[str]]:
        """Let a workload have so many pods, 0 to 10 (``kubectl scale``): names added, removed."""
        if not 0 <= replicas <= MOST_REPLICAS:
            raise TestbedError(f"a workload has 0 to {MOST_REPLICAS} pods here, not {replicas}")
        try:
            return self._asking(lambda: self._running().scale(workload, replicas))
        finally:
            self._save()

    @contextmanager
    def tap(self, name: str) -> Iterator[Wire]:
        """Listen on the wire to a pod while the block runs (``mesh.testbed.tap``)."""
        from mesh.testbed.tap import relayed

        pod = self.find(name).pod
        if pod is None:
            raise TestbedError(f"no sidecar sends to {self.find(name).name}: name another pod")
        with relayed(pod, self.pilot) as wire:
            yield wire

    def kill_pilot(self) -> None:
        """Kill the control plane; the sidecars go on, nothing can be applied (``start_pilot``)."""
        self._running().kill_pilot()

    def start_pilot(self) -> None:
        """Start a killed control plane again, with what was applied before; waits until in force."""
        self._asking(self._running().start_pilot)

    def request(
        self,
        path: str,
        *,
        from_pod: str | None = None,
        headers: Mapping[str, str] | None = None,
        method: str = "GET",
        body: bytes = b"",
        tls: request.ClientTls | None = None,
    ) -> Answer:
        """Send one request to the gateway, or as ``from_pod``'s application to a URL.

        An https URL goes to the gateway's port 443, by ``tls``; its host is the server name.  From a
        pod it goes through a CONNECT tunnel, and the authority of the world outside is believed.
        """
        https = path.startswith("https://")
        tls = (tls or request.ClientTls()) if https else None
        if from_pod:
            if "://" not in path:
                raise TestbedError(
                    f"from a pod a whole URL is asked for, such as "
                    f"http://recommendation:8080/, not {path!r}"
                )
            caller = self.find(from_pod)
            if not caller.injected:
                raise TestbedError(f"{caller.name} has no sidecar to send requests through")
            port = caller.node.outbound_port
            if tls is not None and not tls.cacert:
                tls = replace(tls, cacert=self._running().outside_roots)
        elif self.gateway_url and https:
            port = self.gateway_port(443)
        elif self.gateway_url:
            port = int(self.gateway_url.rpartition(":")[2])
        else:
            raise TestbedError("this mesh has no gateway: say from which pod the request comes")
        return request.send(
            port,
            path,
            method=method,
            headers=headers,
            body=body,
            tls=tls,
            tunnel=bool(from_pod),
        )

    def tell(self, pod: str, path: str) -> Answer:
        """Ask a pod's application itself, past every sidecar (``kubectl port-forward``)."""
        found = self.find(pod)
        if (found.pod is None or found.gateway) and not found.outside:
            raise TestbedError(f"{found.name} has no application to ask")
        return request.send(found.application, path, method="GET", headers=None, body=b"")

    def reload_filter(self, pod: str) -> None:
        """Let the sidecar load the filter that stands beside it again."""
        records.reload_filter(self.find(pod))

    def stats(self, pod: str, pattern: str) -> dict[str, int]:
        """Return a sidecar's counters and gauges whose name the regex ``pattern`` finds."""
        return records.stats(self.find(pod), pattern)

    def clusters(self, pod: str) -> dict[str, Any]:
        """Return a sidecar's clusters with the health of their endpoints, as Envoy's JSON."""
        return records.clusters(self.find(pod))

    # What was written down.

    def access_log(self, pod: str = "") -> tuple[AccessLogRecord, ...]:
        """Return all records so far: sidecars write down what they hold before it is read."""
        running, killed = self._chosen(pod)
        records.flush(running)
        pods = (*killed, *running)
        return tuple(line for each in pods for line in self._records.access_log(each))

    def journal(self, pod: str = "") -> tuple[dict[str, Any], ...]:
        """Return what the applications handled, those of killed pods too, in order of time."""
        running, killed = self._chosen(pod)
        lines = [line for each in (*killed, *running) for line in self._records.journal(each)]
        return tuple(sorted(lines, key=lambda line: float(line["time"])))

    def explain(self, request_id: str) -> tuple[hops.Hop, ...]:
        """Return why the request of that ``x-request-id`` went where it went, hop by hop."""
        running, _ = self._chosen("")
        if self.engine == "mitmproxy":
            records.flush(running)
            return tuple(hops.of_sidecars(running, request_id))
        return tuple(hops.of_access_log(self.access_log(), request_id, hops.places(running)))

    def logs(self, name: str) -> str:
        """Return what a pod's processes, ``pilot``, ``mixer`` or ``zygote`` printed."""
        if name in ("pilot", "mixer", "zygote"):
            path = self.run.path / f"{name}.log"
            return path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""
        return records.output(self.find(name))

    def _chosen(self, pod: str) -> tuple[list[LocalPod], list[LocalPod]]:
        deployment = self._running()
        if pod:
            killed = [each for each in deployment.killed if each.name == pod]
            return ([], killed) if killed else ([self.find(pod)], [])
        return [deployment.pods[name] for name in sorted(deployment.pods)], deployment.killed

    # Details.

    def _running(self) -> PodSet:
        if self._deployment is None:
            raise TestbedError("this mesh does not run")
        return self._deployment

    def _asking[T](self, question: Callable[[], T]) -> T:
        try:
            return question()
        except PilotError as problem:
            raise TestbedError(str(problem)) from None

    def _checked(self, result: ApplyResult) -> ApplyResult:
        if not result.in_force:
            raise ApplyError(result)
        return result
