"""LocalTestbed: a mesh as processes of this machine, forked from one preloaded process.

``start`` forks control plane, applications, sidecars and gateway, side by side, and returns when
every one has said that it is ready and the first configuration is in force; nothing waits by
guessing.  What is known of the mesh is also in its run folder (``mesh.json``), so that another
command can take up a kept one (``attach``).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from mesh.accesslog import AccessLogRecord
from mesh.istio.resource import Resource
from mesh.pilot.client import ApplyResult, PilotClient, PilotError
from mesh.state import KEPT, RunFolder, StateError, reap, write_atomic
from mesh.testbed import pods as podlib
from mesh.testbed import records, request
from mesh.testbed.base import Answer, ApplyError, Document
from mesh.testbed.child import ChildSpec
from mesh.testbed.client import Started, TestbedError, ZygoteClient, last_words, wait_ready
from mesh.testbed.documents import Key, documents, key_of
from mesh.testbed.engines import engine as engine_named
from mesh.testbed.load_topology import ingress_yaml
from mesh.testbed.plain import from_plain, to_plain
from mesh.testbed.pods import LocalPod
from mesh.topology import Pod, Service, Topology, Workload

STATE_FILE = "mesh.json"
_ADS, _API, _FIRST_APP = 1, 2, 3
_IN_FORCE_SECONDS, _IN_FORCE_ROUNDS = 3.0, 10


class LocalTestbed:
    """A mesh of ``topology`` on this machine; ``engine`` is mitmproxy or envoy.

    ``seed`` goes into the pods' names: the same seed, the same names.
    """

    def __init__(
        self,
        topology: Topology,
        *,
        engine: str = "mitmproxy",
        era: str = "istio-current",
        seed: str = "",
    ) -> None:
        self.topology = topology
        self.engine = engine
        self.era = era
        self.seed = seed
        self._engine = engine_named(engine)
        self._folder: RunFolder | None = None
        self._zygote: ZygoteClient | None = None
        self._pods: dict[str, LocalPod] = {}
        self._killed: list[LocalPod] = []
        self._count = 0
        self._ingress: set[Key] = set()

    # The life of a mesh.

    def start(self) -> None:
        """Start everything; a TestbedError leaves nothing behind."""
        self._engine.check()
        try:
            reap()
            self._folder = RunFolder.create()
        except StateError as problem:
            raise TestbedError(str(problem)) from None
        try:
            self._zygote = ZygoteClient.launch(self._folder)
            self._start(self._zygote)
        except PilotError as problem:
            text = f"{problem} ({last_words(self._folder.path / 'pilot.log')})"
            self.stop()
            raise TestbedError(text) from None
        except BaseException:
            self.stop()
            raise

    def _start(self, zygote: ZygoteClient) -> None:
        """Ask for everything ahead: while processes come up, the next modules are imported."""
        pods = self._lay_out()
        preloads = [zygote.post("preload", modules=["mesh.pilot.main", "mesh.testbed.warm"])]
        pilot_asked = zygote.post_start(self._pilot_spec())
        preloads.append(zygote.post("preload", modules=["services.server"]))
        applications = [pod for pod in pods if pod.pod]
        apps_asked = [(pod, *zygote.post_start(self._app_spec(pod))) for pod in applications]
        preloads.append(zygote.post("preload", modules=self._engine.modules()))
        zygote.answer(preloads[0])
        pilot = Started("pilot", 0, self.run.path / "pilot.log", pilot_asked[1])
        wait_ready([pilot])
        zygote.answer(pilot_asked[0])
        self.pilot.add_pods([(pod.node, pod.pod) for pod in pods])
        ingress = ingress_yaml(self.topology)
        if ingress:
            self._checked(self.pilot.apply([("ingress.yaml", ingress)], self.era))
            self._ingress = set(self._applied())
        apps = []
        for pod, number, ready in apps_asked:
            pid = int(zygote.answer(number)["pid"])
            apps.append(Started(f"application {pod.name}", pid, pod.folder / "app.log", ready))
        for number in preloads[1:]:
            zygote.answer(number)
        sidecars = zygote.start_all(self._sidecar_spec(pod) for pod in pods)
        pids = dict(zip([pod.name for pod in applications], [app.pid for app in apps], strict=True))
        for pod, sidecar in zip(pods, sidecars, strict=True):
            app_pid = pids.get(pod.name, 0)
            self._pods[pod.name] = replace(pod, app_pid=app_pid, sidecar_pid=sidecar.pid)
        wait_ready([*apps, *sidecars])
        self._await_in_force(self._pods.values())
        self._save()

    def stop(self) -> None:
        """End it: no process and no file is left; calling it again does nothing."""
        zygote, self._zygote = self._zygote, None
        if zygote is not None:
            zygote.end()
        folder, self._folder = self._folder, None
        if folder is not None:
            folder.remove()
        self._pods.clear()

    def keep(self) -> str:
        """Let the mesh live on after this command; returns its name for ``attach``."""
        self._living().keep()
        (self.run.path / KEPT).touch()
        return self.run.name

    def leave(self) -> None:
        """Close the connection to a kept mesh, which goes on."""
        zygote, self._zygote = self._zygote, None
        if zygote is not None:
            zygote.close()

    @classmethod
    def attach(cls, run: RunFolder) -> LocalTestbed:
        """Take up a kept mesh again; TestbedError when it is gone."""
        try:
            state = json.loads((run.path / STATE_FILE).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            raise TestbedError(f"the mesh {run.name} is still starting, or is gone") from None
        topology: Topology = from_plain(Topology, state["topology"])
        bed = cls(topology, engine=state["engine"], era=state["era"], seed=state["seed"])
        bed._folder = run
        bed._zygote = ZygoteClient.attach(run)
        bed._pods = {name: from_plain(LocalPod, raw) for name, raw in state["pods"].items()}
        bed._killed = [from_plain(LocalPod, raw) for raw in state["killed"]]
        bed._count = int(state["count"])
        bed._ingress = {(kind, space, name) for kind, space, name in state["ingress"]}
        return bed

    def _save(self) -> None:
        state = {
            "topology": self.topology,
            "engine": self.engine,
            "era": self.era,
            "seed": self.seed,
            "gateway_url": self.gateway_url,
            "pods": self._pods,
            "killed": self._killed,
            "count": self._count,
            "ingress": sorted(self._ingress),
        }
        write_atomic(self.run.path / STATE_FILE, json.dumps(to_plain(state)))

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
    def run(self) -> RunFolder:
        """The folder of this mesh; TestbedError when it does not run."""
        if self._folder is None:
            raise TestbedError("this mesh does not run")
        return self._folder

    @property
    def pilot(self) -> PilotClient:
        """The control plane."""
        return PilotClient(self.run.socket(_API))

    @property
    def gateway_url(self) -> str:
        """Where the mesh is reached from outside; ``""`` without a gateway."""
        for pod in self._pods.values():
            if pod.node.gateway_ports:
                return f"http://127.0.0.1:{pod.node.gateway_ports[podlib.GATEWAY_PORTS[0]]}"
        return ""

    def proxy_url(self, pod: str) -> str:
        """Return the outbound listener of a pod, to send requests as its application does."""
        return f"http://127.0.0.1:{self.find(pod).node.outbound_port}"

    def pods(self) -> tuple[Pod, ...]:
        """Return the pods in the order of their names."""
        return tuple(each.pod for _, each in sorted(self._pods.items()) if each.pod)

    def proxies(self) -> tuple[str, ...]:
        """Return the names of all pods that have a sidecar, the gateway included."""
        return tuple(sorted(self._pods))

    def find(self, name: str) -> LocalPod:
        """Return a pod by its name or the beginning of it; the first of several replicas."""
        if name in self._pods:
            return self._pods[name]
        chosen = [self._pods[each] for each in sorted(self._pods) if each.startswith(name)]
        if not chosen:
            raise TestbedError(f"there is no pod {name!r}; there are {', '.join(self.proxies())}")
        if len({each.workload for each in chosen}) > 1:
            names = ", ".join(each.name for each in chosen)
            raise TestbedError(f"several pods begin with {name!r}: {names}")
        return chosen[0]

    # What can be done with it.

    def apply(self, what: Iterable[Path | str | Document | Resource]) -> ApplyResult:
        """Apply and wait until it is in force; ApplyError when it is refused.

        Files and texts are added, as ``kubectl apply`` does.  Resources are the whole
        configuration: what else was applied is removed afterwards, except the default ingress.
        """
        items = list(what)
        whole = all(isinstance(item, Resource) for item in items)
        return self._asking(lambda: self._apply(items, whole))

    def _apply(self, items: list[Path | str | Document | Resource], whole: bool) -> ApplyResult:
        result = self._checked(self.pilot.apply(documents(items), self.era))
        if whole:
            wanted = {key_of(item) for item in items if isinstance(item, Resource)}
            gone = set(self._applied()) - wanted - self._ingress
            if gone:
                removed = self._checked(self.pilot.delete(sorted(gone)))
                result = replace(result, seconds=result.seconds + removed.seconds)
        return result

    def delete(self, resources: Iterable[Key]) -> ApplyResult:
        """Remove resources by (kind, namespace, name) and wait until that is in force."""
        return self._asking(lambda: self._checked(self.pilot.delete(resources)))

    def _applied(self) -> list[Key]:
        rows = self.pilot.resources()
        return [(row["kind"], row["namespace"], row["name"]) for row in rows]

    def kill_pod(self, name: str) -> Pod:
        """Kill a pod as ``kill -9`` would; its Deployment replaces it under a new name."""
        victim = self.find(name)
        if victim.pod is None:
            raise TestbedError(f"{victim.name} is the gateway: kill a pod of a service")
        return self._asking(lambda: self._replace(victim))

    def _replace(self, victim: LocalPod) -> Pod:
        zygote = self._living()
        records.flush([victim])
        for pid in (victim.sidecar_pid, victim.app_pid):
            zygote.ask("kill", pid=pid)
        del self._pods[victim.name]
        self._killed.append(victim)
        self.pilot.remove_pods([(victim.name, victim.node.namespace)])
        zygote.ask("release", ports=victim.ports)
        service, workload = self._workload(victim)
        new = self._describe(service, workload)
        self.pilot.add_pods([(new.node, None)])  # a pod gets requests when it is ready, not before
        app, sidecar = zygote.start_all([self._app_spec(new), self._sidecar_spec(new)])
        self._pods[new.name] = replace(new, app_pid=app.pid, sidecar_pid=sidecar.pid)
        wait_ready([app, sidecar])
        self._await_in_force([self._pods[new.name]])
        self.pilot.add_pods([(new.node, new.pod)])
        self._await_in_force(self._pods.values())
        self._save()
        assert new.pod is not None
        return new.pod

    def request(
        self,
        path: str,
        *,
        from_pod: str | None = None,
        headers: Mapping[str, str] | None = None,
        method: str = "GET",
        body: bytes = b"",
    ) -> Answer:
        """Send one request to the gateway, or as ``from_pod``'s application to a URL."""
        if from_pod:
            if "://" not in path:
                raise TestbedError(
                    f"from a pod a whole URL is asked for, such as "
                    f"http://recommendation:8080/, not {path!r}"
                )
            port = self.find(from_pod).node.outbound_port
        elif self.gateway_url:
            port = int(self.gateway_url.rpartition(":")[2])
        else:
            raise TestbedError("this mesh has no gateway: say from which pod the request comes")
        return request.send(port, path, method=method, headers=headers, body=body)

    # What was written down.

    def access_log(self, pod: str = "") -> tuple[AccessLogRecord, ...]:
        """Return all records so far: sidecars write down what they hold before it is read."""
        running, killed = self._chosen(pod)
        records.flush(running)
        lines = [line for each in killed for line in records.access_log(each, killed=True)]
        return tuple(lines + [line for each in running for line in records.access_log(each)])

    def journal(self, pod: str = "") -> tuple[dict[str, Any], ...]:
        """Return what the applications handled, those of killed pods too, in order of time."""
        running, killed = self._chosen(pod)
        lines = [line for each in killed for line in records.journal(each, killed=True)]
        lines += [line for each in running for line in records.journal(each)]
        return tuple(sorted(lines, key=lambda line: float(line["time"])))

    def logs(self, name: str) -> str:
        """Return what a pod's processes, ``pilot`` or ``zygote`` printed."""
        if name in ("pilot", "zygote"):
            path = self.run.path / f"{name}.log"
            return path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""
        return records.output(self.find(name))

    def _chosen(self, pod: str) -> tuple[list[LocalPod], list[LocalPod]]:
        if pod:
            killed = [each for each in self._killed if each.name == pod]
            return ([], killed) if killed else ([self.find(pod)], [])
        return [self._pods[name] for name in sorted(self._pods)], self._killed

    # Details.

    def _lay_out(self) -> list[LocalPod]:
        pods = [
            self._describe(service, workload)
            for service in self.topology.services
            for workload in service.workloads
            for _ in range(workload.replicas)
        ]
        if self.topology.gateway:
            ports = self._take_ports(podlib.PORTS_OF_A_GATEWAY)
            gateway = podlib.make_gateway(self.topology, ports, self.run.path, self.seed)
            gateway.folder.mkdir()
            pods.append(gateway)
        return pods

    def _describe(self, service: Service, workload: Workload) -> LocalPod:
        name = podlib.pod_name(workload, self._count, self.seed)
        socket = self.run.socket(_FIRST_APP + self._count)
        self._count += 1
        ports = self._take_ports(podlib.ports_needed(service))
        pod = podlib.make_pod(service, workload, name, ports, self.run.path, socket)
        pod.folder.mkdir()
        return pod

    def _take_ports(self, count: int) -> list[int]:
        return [int(port) for port in self._living().ask("ports", count=count)["ports"]]

    def _workload(self, pod: LocalPod) -> tuple[Service, Workload]:
        for service in self.topology.services:
            for workload in service.workloads:
                if (service.name, workload.name) == pod.workload:
                    return service, workload
        raise TestbedError(f"{pod.name} belongs to no workload of the topology")

    def _app_spec(self, pod: LocalPod) -> ChildSpec:
        return podlib.app_spec(pod, self._workload(pod)[1])

    def _sidecar_spec(self, pod: LocalPod) -> ChildSpec:
        return self._engine.spec(pod.node, self.run.socket(_ADS), pod.folder)

    def _pilot_spec(self) -> ChildSpec:
        return ChildSpec(
            name="pilot",
            module="mesh.pilot.main",
            function="run",
            options_type="PilotOptions",
            options={
                "ads_socket": str(self.run.socket(_ADS)),
                "api_socket": str(self.run.socket(_API)),
                "store": str(self.run.path / "resources"),
                "services": to_plain(self.topology.services),
                "era": self.era,
                "namespace": self.topology.namespace,
            },
            log=str(self.run.path / "pilot.log"),
        )

    def _living(self) -> ZygoteClient:
        if self._zygote is None:
            raise TestbedError("this mesh does not run")
        return self._zygote

    def _asking[T](self, question: Callable[[], T]) -> T:
        try:
            return question()
        except PilotError as problem:
            raise TestbedError(str(problem)) from None

    def _await_in_force(self, pods: Iterable[LocalPod]) -> None:
        """Wait until pods have their configuration; a sidecar that ended is not waited for."""
        waiting = list(pods)
        nodes = [pod.node.id for pod in waiting]
        for _ in range(_IN_FORCE_ROUNDS):
            found = self.pilot.in_force(nodes, _IN_FORCE_SECONDS)
            if found.in_force:
                return
            living = self._living().ask("children")["children"]
            for pod in waiting:
                if str(pod.sidecar_pid) not in living:
                    words = last_words(pod.folder / "sidecar.log")
                    raise TestbedError(f"the sidecar of {pod.name} ended: {words}")
            if found.nacks:
                break
        raise TestbedError(found.reason or f"no configuration in force at {found.missing}")

    def _checked(self, result: ApplyResult) -> ApplyResult:
        if not result.in_force:
            raise ApplyError(result)
        return result
