"""LocalTestbed: a mesh as processes of this machine, forked from one preloaded process.

``start`` forks control plane, applications, sidecars and gateway at once and returns when every
one has said that it is ready and the first configuration is in force; nothing waits by guessing.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from mesh.accesslog import AccessLogRecord, parse_record
from mesh.envoy.admin import Admin, AdminError
from mesh.istio.resource import Resource
from mesh.pilot.client import ApplyResult, PilotClient, PilotError
from mesh.state import RunFolder, reap, write_atomic
from mesh.testbed import pods as podlib
from mesh.testbed.base import ENGINES
from mesh.testbed.child import ChildSpec
from mesh.testbed.client import Started, TestbedError, ZygoteClient, wait_ready
from mesh.testbed.load_topology import ingress_yaml
from mesh.testbed.plain import from_plain, to_plain
from mesh.testbed.pods import LocalPod
from mesh.topology import Pod, Service, Topology, Workload

_GATEWAY_SERVERS = (80,)
_ADS, _API = 0x1000, 0x1001
_STATE = "mesh.json"
_MODULES = ("mesh.pilot.main", "services.server", "services.factory")
_ENGINE_MODULES = {"mitmproxy": "mesh.sidecar.main", "envoy": "mesh.envoy.supervisor"}


class LocalTestbed:
    """A mesh of ``topology`` on this machine; ``engine`` is mitmproxy or envoy."""

    def __init__(
        self, topology: Topology, *, engine: str = "mitmproxy", era: str = "istio-current"
    ) -> None:
        if engine not in ENGINES:
            raise TestbedError(f'no engine "{engine}": choose {" or ".join(ENGINES)}')
        self.topology = topology
        self.engine = engine
        self.era = era
        self._run: RunFolder | None = None
        self._zygote: ZygoteClient | None = None
        self._pods: dict[str, LocalPod] = {}
        self._pids: dict[str, int] = {}
        self._hashes: dict[str, str] = {}
        self._numbers = 1
        self._applied: set[tuple[str, str, str]] = set()

    # The life of a mesh.

    def start(self) -> None:
        """Start everything; a TestbedError leaves nothing behind."""
        reap()
        if self.engine == "envoy":
            _need_envoy()
        self._run = RunFolder.create()
        try:
            self._zygote = ZygoteClient.launch(self._run)
            self._start()
        except BaseException:
            self.stop()
            raise

    def _start(self) -> None:
        assert self._zygote is not None
        self._zygote.ask("preload", modules=[*_MODULES, _ENGINE_MODULES[self.engine]])
        (pilot,) = self._zygote.start_all([self._pilot_spec()])
        described = [
            self._describe(service, workload)
            for service in self.topology.services
            for workload in service.workloads
            for _ in range(workload.replicas)
        ]
        if self.topology.gateway:
            described.append(self._describe_gateway())
        apps = self._zygote.start_all(
            [podlib.application(self.run, each) for each in described if each.pod]
        )
        self._remember(apps)
        wait_ready([pilot])
        ingress = ingress_yaml(self.topology)
        if ingress:
            self._checked(self.pilot.apply([("ingress.yaml", ingress)]))
        wait_ready(apps)
        self._join(described)
        self._save()

    def _join(self, described: list[LocalPod]) -> None:
        """Register pods, start their sidecars, and wait until their configuration is in force."""
        self.pilot.add_pods([(each.node, each.pod) for each in described])
        self._pods.update({each.name: each for each in described})
        started = self._start_proxies(described)
        wait_ready(started)
        self._remember(started)
        forced = self.pilot.in_force([each.node.name for each in described], timeout=30.0)
        if not forced.in_force:
            raise TestbedError(forced.reason)

    def _start_proxies(self, described: list[LocalPod]) -> list[Started]:
        assert self._zygote is not None
        specs = [
            podlib.sidecar(self.run, each, self.engine, self.run.socket(_ADS)) for each in described
        ]
        ready = "pid_fd" if self.engine == "envoy" else "ready_fd"
        return self._zygote.start_all(specs, ready)

    def stop(self) -> None:
        """End it; calling it again does nothing."""
        if self._zygote is not None:
            self._zygote.end()
            self._zygote = None
        elif self._run is not None:
            self._run.remove()
        self._run = None
        self._pods.clear()

    def keep(self) -> str:
        """Let the mesh live on after this command; returns its name for ``attach``."""
        assert self._zygote is not None
        self._zygote.keep()
        return self.run.name

    @classmethod
    def attach(cls, run: RunFolder) -> LocalTestbed:
        """Find a kept mesh again; TestbedError when it is gone."""
        try:
            state = json.loads((run.path / _STATE).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            raise TestbedError(f"the mesh {run.name} is still starting, or is gone") from None
        bed = cls(from_plain(Topology, state["topology"]), engine=state["engine"], era=state["era"])
        bed._run = run
        bed._zygote = ZygoteClient.attach(run)
        bed._pods = {name: from_plain(LocalPod, raw) for name, raw in state["pods"].items()}
        bed._pids = {str(name): int(pid) for name, pid in state["pids"].items()}
        bed._hashes, bed._numbers = dict(state["hashes"]), int(state["numbers"])
        bed._applied = {(kind, space, name) for kind, space, name in state["applied"]}
        return bed

    def _save(self) -> None:
        state = {
            "topology": self.topology,
            "engine": self.engine,
            "era": self.era,
            "pods": self._pods,
            "pids": self._pids,
            "hashes": self._hashes,
            "numbers": self._numbers,
            "applied": sorted(self._applied),
        }
        write_atomic(self.run.path / _STATE, json.dumps(to_plain(state)))

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    # What is in it.

    @property
    def run(self) -> RunFolder:
        """The folder of this mesh; TestbedError when it does not run."""
        if self._run is None:
            raise TestbedError("this mesh does not run")
        return self._run

    @property
    def pilot(self) -> PilotClient:
        """The control plane."""
        return PilotClient(self.run.socket(_API))

    @property
    def gateway_url(self) -> str:
        """Where the mesh is reached from outside; TestbedError without a gateway."""
        for each in self._pods.values():
            if each.node.gateway_ports:
                return f"http://127.0.0.1:{next(iter(each.node.gateway_ports.values()))}"
        raise TestbedError("this mesh has no gateway")

    def proxy_url(self, pod: str) -> str:
        """The outbound listener of ``pod``'s sidecar, to send requests as its application does."""
        return f"http://127.0.0.1:{self._find(pod).node.outbound_port}"

    def pods(self) -> tuple[Pod, ...]:
        """Return the pods in the order of their names."""
        return tuple(each.pod for _, each in sorted(self._pods.items()) if each.pod)

    def proxies(self) -> tuple[str, ...]:
        """Return the names of all pods that have a sidecar, the gateway included."""
        return tuple(sorted(self._pods))

    def _find(self, pod: str) -> LocalPod:
        if pod in self._pods:
            return self._pods[pod]
        close = [name for name in self._pods if name.startswith(pod)]
        if len(close) == 1:
            return self._pods[close[0]]
        listed = ", ".join(sorted(close or self._pods))
        raise TestbedError(f'no pod "{pod}": there are {listed}')

    # What can be done with it.

    def apply(self, resources: Iterable[Resource]) -> ApplyResult:
        """Make ``resources`` the configuration; what was applied before and is not in it goes."""
        wanted = {(each.kind, each.namespace, each.name): each for each in resources}
        gone = self._applied - set(wanted)
        documents = [(each.source.file, each.source.text) for each in wanted.values()]
        try:
            result = self._checked(self.pilot.apply(documents, self.era))
            if gone:
                result = self._checked(self.pilot.delete(sorted(gone)))
        except PilotError as error:
            raise TestbedError(str(error)) from None
        self._applied = set(wanted)
        self._save()
        return result

    def kill_pod(self, name: str) -> Pod:
        """Kill a pod as ``kill -9`` would; its Deployment replaces it under a new name."""
        assert self._zygote is not None
        victim = self._find(name)
        if victim.pod is None or victim.service is None or victim.workload is None:
            raise TestbedError(f"{victim.name} is the gateway: kill a pod of a service")
        for process in (victim.name, f"{victim.name}-sidecar"):
            self._zygote.ask("kill", pid=self._pids.pop(process))
        self.pilot.remove_pods([(victim.name, victim.node.namespace)])
        del self._pods[victim.name]
        node = victim.node
        self._zygote.ask(
            "release", ports=[node.admin_port, node.outbound_port, *node.inbound_ports.values()]
        )
        new = self._describe(victim.service, victim.workload)
        apps = self._zygote.start_all([podlib.application(self.run, new)])
        wait_ready(apps)
        self._remember(apps)
        self._join([new])
        self._save()
        assert new.pod is not None
        return new.pod

    def access_log(self, pod: str = "") -> tuple[AccessLogRecord, ...]:
        """Return the access log, complete up to this moment: the sidecars flush before it is read."""
        chosen = [self._find(pod)] if pod else [self._pods[name] for name in sorted(self._pods)]
        records: list[AccessLogRecord] = []
        for each in chosen:
            try:
                Admin(each.node.admin_port).reopen_logs()
            except AdminError as error:
                raise TestbedError(f"{each.name}: {error}") from None
        for each in chosen:
            records += [parse_record(each.name, line) for line in _lines(each.node.access_log)]
        return tuple(records)

    def journal(self) -> tuple[dict[str, Any], ...]:
        """Return what all applications wrote down, those of killed pods included."""
        found: list[dict[str, Any]] = []
        for path in sorted(self.run.path.glob("*/journal.jsonl")):
            found += [json.loads(line) for line in _lines(str(path))]
        return tuple(found)

    def logs(self, name: str) -> Path:
        """Return the log file of ``POD`` or ``POD-sidecar``, of ``pilot`` or of ``zygote``."""
        if name in ("pilot", "zygote"):
            return self.run.path / f"{name}.log"
        pod = name.removesuffix("-sidecar")
        return self.run.path / f"{self._find(pod).name}{name[len(pod) :]}.log"

    # Details of the start.

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
                "services": [to_plain(replace(each)) for each in self.topology.services],
                "era": self.era,
                "namespace": self.topology.namespace,
            },
            log=str(self.run.path / "pilot.log"),
        )

    def _take_ports(self, count: int) -> list[int]:
        assert self._zygote is not None
        return [int(port) for port in self._zygote.ask("ports", count=count)["ports"]]

    def _describe(self, service: Service, workload: Workload) -> LocalPod:
        template = self._hashes.setdefault(workload.name, podlib.letters(9))
        name = f"{workload.name}-{template}-{podlib.letters(5)}"
        self._numbers += 1
        ports = self._take_ports(podlib.ports_needed(service))
        return podlib.workload_pod(self.run, self._numbers, service, workload, name, ports)

    def _describe_gateway(self) -> LocalPod:
        name = f"{self.topology.gateway}-{podlib.letters(5)}"
        ports = self._take_ports(podlib.ports_needed(None, _GATEWAY_SERVERS))
        namespace = self.topology.namespace
        return podlib.gateway_pod(self.run, name, namespace, _GATEWAY_SERVERS, ports)

    def _remember(self, started: list[Started]) -> None:
        self._pids.update({each.name: each.pid for each in started})

    def _checked(self, result: ApplyResult) -> ApplyResult:
        if not result.in_force:
            errors = "; ".join(str(each) for each in result.problems)
            raise TestbedError(result.reason or errors or "the configuration is not in force")
        return result


def _need_envoy() -> None:
    from mesh.envoy.supervisor import EnvoyMissingError, find_binary

    try:
        find_binary()
    except EnvoyMissingError as error:
        raise TestbedError(str(error)) from None


def _lines(path: str) -> list[str]:
    """The whole lines of a log; a line that a killed process cut short is left out."""
    try:
        text = Path(path).read_text(encoding="utf-8")
    except FileNotFoundError:
        return []
    return text[: text.rfind("\n") + 1].splitlines()
