"""ComposeTestbed: a mesh in containers of this machine's Docker, behind the same interface.

Requests "as a pod's application" go through the pod's ``door`` and are captured like its own.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from random import SystemRandom
from typing import Any
from urllib.parse import urlsplit

from docker.client import DockerClient
from docker.errors import DockerException

from mesh.pilot.client import PilotError
from mesh.state import KEPT, RunFolder, StateError, reap
from mesh.testbed import pods as podlib
from mesh.testbed import request
from mesh.testbed.base import Answer
from mesh.testbed.client import TestbedError
from mesh.testbed.compose import docker as engine
from mesh.testbed.compose import door, image, network, wire
from mesh.testbed.compose import profiles as profiles_beside
from mesh.testbed.compose.deployment import START_SECONDS, ComposeDeployment
from mesh.testbed.compose.docker import Compose
from mesh.testbed.compose.network import Subnet
from mesh.testbed.compose.project import RUN_LABEL, Project
from mesh.testbed.compose.relay import Relay
from mesh.testbed.compose.warden import Warden
from mesh.testbed.kept import read_state
from mesh.testbed.mesh_testbed import MeshTestbed
from mesh.testbed.plain import from_plain
from mesh.testbed.tap import Wire
from mesh.topology import Topology

FILE = "compose.yaml"


class ComposeTestbed(MeshTestbed):
    """A mesh of ``topology`` in containers."""

    def __init__(
        self,
        topology: Topology,
        *,
        captured: bool = True,
        profiles: Sequence[str] = (),
        **options: Any,
    ) -> None:
        super().__init__(topology, **options)
        self.captured = captured
        self.profiles = profiles_beside.check(profiles)
        self._warden: Warden | None = None
        self._relays: dict[str, Relay] = {}

    def start(self) -> None:
        """Start everything; a TestbedError leaves nothing behind."""
        client = engine.client()
        engine.check_compose()
        try:
            sweep(client)
            reap()
            target = image.ENVOY_TARGET if self.engine == "envoy" else image.KIT_TARGET
            built = image.ensure(client, target, print)
            load = ""
            if profiles_beside.LOCUST in self.profiles:
                load = image.ensure(client, image.LOAD_TARGET, print)
            self._folder = RunFolder.create()
        except StateError as problem:
            raise TestbedError(str(problem)) from None
        try:
            self._warden = Warden.launch(self._folder)
            taken = network.routes()
            for each in client.networks.list():
                for pool in (each.attrs.get("IPAM") or {}).get("Config") or []:
                    taken.append(pool["Subnet"])
            subnet = network.choose(taken, SystemRandom())
            deployment = self._make(client, built, subnet, self._folder)
            deployment.load_image = load
            self._deployment = deployment
            deployment.start(self._apply_ingress)
            self._save()
            self._warden.await_listening()
        except (PilotError, DockerException, ValueError) as problem:
            self.stop()
            raise TestbedError(str(problem)) from None
        except BaseException:
            self.stop()
            raise

    def _make(
        self, client: DockerClient, built: str, subnet: Subnet, run: RunFolder
    ) -> ComposeDeployment:
        return ComposeDeployment(
            topology=self.topology,
            engine=self._engine,
            era=self.era,
            seed=self.seed,
            folder=run,
            docker=client,
            compose=Compose(run.name, run.path / FILE, self.profiles),
            project=Project(run, built, subnet, self.captured),
            certificate_seconds=self.certificate_seconds,
            sampling=self.sampling,
            patience=START_SECONDS,
        )

    def stop(self) -> None:
        """End it: no container, network or file is left; calling it again does nothing."""
        for relay in self._relays.values():
            relay.close()
        self._relays.clear()
        folder, self._folder = self._folder, None
        self._deployment = None
        if folder is None:
            return
        warden, self._warden = self._warden, None
        if warden is not None:
            warden.end()
        else:
            Warden.end_owner(folder)
        engine.remove_project(engine.client(), folder.name)
        folder.remove()

    def keep(self) -> str:
        """Let the mesh live on after this command; returns its name for ``attach``."""
        (self.run.path / KEPT).touch()
        return self.run.name

    def leave(self) -> None:
        """Let go of a kept mesh, which goes on."""
        self._warden = None

    @classmethod
    def attach(cls, run: RunFolder) -> ComposeTestbed:
        """Take up a kept mesh again; TestbedError when it is gone."""
        state = read_state(run)
        topology: Topology = from_plain(Topology, state["topology"])
        bed = cls(
            topology,
            engine=state["engine"],
            era=state["era"],
            seed=state["seed"],
            captured=state["captured"],
            profiles=state["profiles"],
        )
        made = bed._make(engine.client(), state["image"], Subnet(state["subnet"]), run)
        made.project.ports.update(state["ports"])
        bed._take_up(run, made, state)
        return bed

    def _state(self) -> dict[str, object]:
        project = self.containers.project
        return super()._state() | {
            "runtime": "compose",
            "image": project.image,
            "subnet": project.subnet.text,
            "captured": self.captured,
            "profiles": self.profiles,
            "ports": project.ports,
        }

    @property
    def containers(self) -> ComposeDeployment:
        """The containers of this mesh."""
        running = self._running()
        assert isinstance(running, ComposeDeployment)
        return running

    # What is in it.

    @property
    def gateway_url(self) -> str:
        """Where the mesh is reached from outside; ``""`` without a gateway."""
        if not any(pod.gateway and pod.pod is None for pod in self._running().pods.values()):
            return ""
        return f"http://127.0.0.1:{self.gateway_port(podlib.GATEWAY_PORTS[0])}"

    def gateway_port(self, number: int) -> int:
        """Return the port of this machine that is a port of the gateway's Service."""
        for pod in self._running().pods.values():
            if pod.pod is None and number in pod.node.gateway_ports:
                listen = pod.node.gateway_ports[number]
                return self.containers.port(f"{pod.name}-pod", listen)
        raise TestbedError(f"this mesh has no gateway with a port {number}")

    def proxy_url(self, pod: str) -> str:
        """Return a port of this machine whose requests leave the pod as its application's do."""
        found = self.find(pod)
        if found.name not in self._relays:
            self._relays[found.name] = Relay(str(found.folder / door.CLIENT))
        return f"http://127.0.0.1:{self._relays[found.name].port}"

    def pages(self) -> dict[str, str]:
        """Return the addresses of what stands beside the mesh: ``grafana`` -> URL."""
        names = [name for each in self.profiles for name in profiles_beside.PAGES[each]]
        ports = profiles_beside.PORTS
        return {
            name: f"http://127.0.0.1:{self.containers.port(name, ports[name])}" for name in names
        }

    # What can be done with it.

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
        """Send one request to the gateway, or as ``from_pod``'s application to a URL."""
        if not from_pod:
            return super().request(path, headers=headers, method=method, body=body, tls=tls)
        if "://" not in path:
            return super().request(path, from_pod=from_pod)
        caller = self.find(from_pod)
        if path.startswith("https://"):
            trusted = tls or request.ClientTls()
            if not trusted.cacert:
                trusted = replace(trusted, cacert=self.containers.outside_roots)
            port = int(self.proxy_url(caller.name).rpartition(":")[2])
            return request.send(
                port,
                path,
                method=method,
                headers=headers,
                body=body,
                tls=trusted,
                tunnel=True,
            )
        url = urlsplit(path)
        target = (url.path or "/") + (f"?{url.query}" if url.query else "")
        given = {name.lower(): value for name, value in (headers or {}).items()}
        given.setdefault("host", url.netloc)
        place = str(caller.folder / door.CLIENT)
        return request.send(place, target, method=method, headers=given, body=body)

    def tell(self, pod: str, path: str) -> Answer:
        """Ask a pod's application itself, past every sidecar (``kubectl port-forward``)."""
        found = self.find(pod)
        if not found.has_application:
            raise TestbedError(f"{found.name} has no application to ask")
        place = str(found.folder / door.APP)
        return request.send(place, path, method="GET", headers=None, body=b"")

    @contextmanager
    def tap(self, name: str) -> Iterator[Wire]:
        """Listen at a pod's own interface while the block runs (``mesh.testbed.compose.wire``)."""
        found = self.find(name)
        if found.pod is None:
            raise TestbedError(f"no sidecar sends to {found.name}: name another pod")
        owner = f"{self.run.name}-{found.name}-pod-1"
        image = self.containers.project.image
        ports = found.pod.ports.values()
        with wire.listen(self.run, owner, image, found.node.address, ports) as heard:
            yield heard

    def logs(self, name: str) -> str:
        """Return what a pod's containers, ``pilot`` or ``mixer`` printed."""
        running = self.containers
        if name in ("pilot", "mixer"):
            return str(running.container(name).logs().decode("utf-8", "replace"))
        if name == "zygote":
            return ""
        parts = []
        for service in running.containers_of(self.find(name)):
            text = running.container(service).logs().decode("utf-8", "replace")
            parts.append(f"--- {service}\n{text}")
        return "".join(parts)


def sweep(client: DockerClient) -> list[str]:
    """Remove the containers of meshes whose run folder has no living owner, wherever it is."""
    wanted: dict[str, str | list[str] | bool] = {"label": RUN_LABEL}
    containers = client.containers.list(all=True, filters=wanted, ignore_removed=True)
    found = [each.labels for each in containers]
    found += [each.attrs.get("Labels") or {} for each in client.networks.list(filters=wanted)]
    folders = {labels.get(RUN_LABEL, "") for labels in found} - {""}
    gone = sorted(Path(each).name for each in folders if not owned(Path(each)))
    for name in gone:
        engine.remove_project(client, name)
    return gone


def owned(folder: Path) -> bool:
    """Whether a mesh has a living owner; true for a folder that only somebody else may read."""
    try:
        os.listdir(folder)  # noqa: PTH208  pathlib would say only later that it may not
    except FileNotFoundError:
        return False
    except OSError:
        return True
    owner = RunFolder(folder).owner()
    return owner is not None and owner.alive()
