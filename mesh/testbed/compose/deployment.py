"""ComposeDeployment: the pods of one mesh in containers.

One `docker compose up` starts everything side by side.  A sidecar's process imports its modules and
then waits at its gate (``entry``) for its bootstrap token; the control plane answers meanwhile, the
pods are registered, the gates are opened, and the mesh is there when every sidecar has its
configuration in force and every application answers.
"""

from __future__ import annotations

import errno
import os
import select
import socket
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from docker.client import DockerClient
from docker.errors import DockerException
from docker.models.containers import Container

from mesh.pilot.client import PilotError
from mesh.pilot.node import ProxyNode
from mesh.testbed import draining
from mesh.testbed.client import TestbedError
from mesh.testbed.compose import door
from mesh.testbed.compose.appears import Folder
from mesh.testbed.compose.ends import Ends
from mesh.testbed.compose.plan import ContainerPlan
from mesh.testbed.compose.project import GATE, METRICS_PORT, READY, RUN_LABEL
from mesh.testbed.pods import LocalPod
from mesh.testbed.podset import node_of
from mesh.topology import Pod

START_SECONDS = 300.0
"""Long enough for a machine whose processors are all taken: nothing waits for its end."""


class Sign(Protocol):
    """What a poll may listen to."""

    def fileno(self) -> int:
        """Return the descriptor that becomes readable."""


@dataclass(slots=True, kw_only=True)
class ComposeDeployment(ContainerPlan):
    """A mesh of containers that run."""

    docker: DockerClient
    published: dict[str, dict[int, int]] = field(default_factory=dict)
    """Compose service -> its port -> port of 127.0.0.1 on this machine."""

    def start(self, configure: Callable[[], None]) -> None:
        """Start everything; ``configure`` is called as soon as the control plane answers."""
        self.make_folders()
        pods = self.lay_out()
        self.pods = {pod.name: pod for pod in pods}
        self.write()
        self.compose.up()
        self.await_pilot()
        self.open_gate(self.folder.path / "control" / GATE, "mixer", "")
        self.register([(node_of(pod), pod.pod) for pod in pods if not pod.outside])
        configure()
        self.await_doors(pods)
        self.await_mixer()
        self.await_in_force(pods)
        self.mixer_port = self.port("mixer", METRICS_PORT)

    # Readiness.

    def _await(self, ready: Callable[[], bool], folder: Path, *services: str) -> None:
        """Try it, and again with each thing that happens in ``folder``, until it is so.

        TestbedError when one of the containers ends, or after too long.
        """
        with Folder(folder) as seen, self._ends() as ends:
            for each in services:
                self.check_running(each)
            end = time.monotonic() + START_SECONDS
            while True:
                seen.forget()
                if ready():
                    return
                self._listen((seen, ends), end, ends, services)

    def _listen(
        self, signs: Iterable[Sign], end: float, ends: Ends, services: Iterable[str]
    ) -> None:
        """Return when one of the signs is given; TestbedError when a container ends."""
        left = end - time.monotonic()
        if not select.select(list(signs), [], [], max(left, 0))[0]:
            names = ", ".join(services)
            raise TestbedError(f"{names}: not ready after {START_SECONDS:g} s")
        if ends.heard():
            for each in services:
                self.check_running(each)

    def _ends(self) -> Ends:
        """Hear from now on which containers of this mesh end."""
        return Ends(self.docker, {RUN_LABEL: str(self.folder.path)})

    def check_running(self, service: str) -> None:
        """Raise TestbedError, with its last words, when a container has ended."""
        container = self.container(service)
        if container.status not in ("running", "created"):
            words = container.logs(tail=4).decode("utf-8", "replace").strip().splitlines()
            raise TestbedError(f"the container {service} ended: {' '.join(words[-2:])}")

    def container(self, service: str) -> Container:
        """Return the SDK's object of a Compose service's container."""
        try:
            return self.docker.containers.get(f"{self.compose.name}-{service}-1")
        except DockerException as problem:
            raise TestbedError(f"no container {service}: {problem}") from None

    def await_pilot(self) -> None:
        """Wait until the control plane answers."""
        self._await(self.pilot.ready, self.folder.path / "control", "pilot")

    def await_mixer(self) -> None:
        """Wait until Mixer has written that it works."""
        place = self._mixer_ready
        self._await(lambda: place.exists() and place.stat().st_size > 0, place.parent, "mixer")

    @property
    def _mixer_ready(self) -> Path:
        return self.folder.path / "control" / f"mixer{READY}"

    def hand_over_token(self, node: ProxyNode, token: str) -> None:
        """Open the gate of a sidecar."""
        folder = self._folder_of(node)
        self.open_gate(folder / GATE, f"{node.pod}-sidecar", token)

    def _folder_of(self, node: ProxyNode) -> Path:
        return Path(node.access_log).parent

    def open_gate(self, gate: Path, service: str, token: str) -> None:
        """Give a waiting process its token."""
        written = False

        def write() -> bool:
            nonlocal written
            try:
                fd = os.open(gate, os.O_WRONLY | os.O_NONBLOCK)
            except OSError as problem:
                if problem.errno == errno.ENXIO:  # nobody waits there yet
                    return False
                raise
            with os.fdopen(fd, "w") as file:
                file.write(token + "\n")
            return True

        self._await(write, gate.parent, service)

    def await_doors(self, pods: Iterable[LocalPod]) -> None:
        """Wait until each pod's application takes connections, and its traffic is captured."""
        with self._ends() as ends:
            for pod in pods:
                own = [f"{pod.name}-pod", *([pod.name] if pod.has_application else [])]
                with Folder(pod.folder) as seen:
                    self._await_door(pod, own, seen, ends)

    def _await_door(self, pod: LocalPod, own: list[str], seen: Folder, ends: Ends) -> None:
        """Ask a pod's door, which answers when it is so, as soon as there is one."""
        end = time.monotonic() + START_SECONDS
        while True:
            for each in own:
                self.check_running(each)
            seen.forget()
            with socket.socket(socket.AF_UNIX) as sock:
                try:
                    sock.connect(str(pod.folder / door.READY))
                except OSError:
                    self._listen((seen, ends), end, ends, own)
                    continue
                while not select.select([sock], [], [], 0)[0]:
                    self._listen((sock, ends), end, ends, own)
                if sock.recv(1) == b"1":
                    for each in own:
                        self.check_running(each)
                    return
            self._listen((seen, ends), end, ends, own)  # the door itself has ended

    def await_in_force(self, pods: Iterable[LocalPod]) -> None:
        """Wait until pods have their configuration; a sidecar that ended is not waited for."""
        waiting = [pod for pod in pods if pod.injected]
        nodes = [pod.node.id for pod in waiting]
        end = time.monotonic() + START_SECONDS
        while True:
            try:
                found = self.pilot.in_force(nodes, 3.0)
            except PilotError as problem:
                raise TestbedError(str(problem)) from None
            if found.in_force:
                return
            for pod in waiting:
                self.check_running(f"{pod.name}-sidecar")
            if found.nacks or time.monotonic() > end:
                raise TestbedError(found.reason or f"no configuration in force at {found.missing}")

    def port(self, service: str, number: int) -> int:
        """Return the port of this machine that leads to a container's port."""
        known = self.published.get(service)
        if known is None or number not in known:
            raw = self.container(service).attrs["NetworkSettings"]["Ports"] or {}
            known = {
                int(name.split("/")[0]): int(places[0]["HostPort"])
                for name, places in raw.items()
                if places
            }
            self.published[service] = known
        if number not in known:
            raise TestbedError(f"port {number} of {service} is not published")
        return known[number]

    # Change.

    def end(self, victim: LocalPod) -> None:
        """End a pod as ``kill -9`` would; the control plane hears of it if there is one."""
        names = self.containers_of(victim)
        for name in names:
            self.container(name).remove(force=True)
        del self.pods[victim.name]
        self.killed.append(victim)
        if self.pilot_lives():
            self.pilot.remove_pods([(victim.name, victim.node.namespace)])
        self.write()

    def start_another(self, like: LocalPod) -> Pod:
        """Start a new pod of the workload of ``like``; it gets requests when it is ready."""
        service, workload = self.workload_of(like)
        new = self.describe(service, workload)
        self.pods[new.name] = new
        self.write()
        self.compose.up(*self.containers_of(new))
        self.register([(node_of(new), None)])  # it gets requests when it is ready, not before
        self.await_doors([new])
        self.await_in_force([new])
        self.pilot.add_pods([(node_of(new), new.pod)])
        self.await_in_force(self.pods.values())
        assert new.pod is not None
        return new.pod

    def clients_of(self, pod: LocalPod) -> int:
        """Return how many clients are connected; without a sidecar the pod's own kernel counts."""
        if pod.injected:
            return draining.connected(pod)
        with socket.socket(socket.AF_UNIX) as sock:
            try:
                sock.connect(str(pod.folder / door.CONNECTED))
                return int(sock.recv(16))
            except (OSError, ValueError):
                raise TestbedError(f"{pod.name}: nobody counts its connections") from None

    def pilot_lives(self) -> bool:
        """Return whether there is a control plane to tell of a pod that comes or goes."""
        return self.container("pilot").status == "running"

    def kill_pilot(self) -> None:
        """Kill the control plane as ``kill -9`` would; sidecars go on with what they have."""
        self.halted.touch()
        for name in ("pilot", "mixer"):
            container = self.container(name)
            if container.status == "running":
                container.kill()

    def start_pilot(self) -> None:
        """Start the control plane again: it reads what was applied, and is told who runs."""
        if self.container("pilot").status == "running":
            raise TestbedError("the control plane runs already")
        self.halted.unlink(missing_ok=True)
        self.revive_control()
        self.await_in_force(self.pods.values())

    def revive_control(self) -> None:
        """Start a control plane that has ended, Mixer with it, and register the pods anew."""
        self._mixer_ready.unlink(missing_ok=True)
        with ThreadPoolExecutor(1) as pool:
            mixer = pool.submit(self.container("mixer").restart, timeout=0)
            self.container("pilot").start()
            mixer.result()
        self.await_pilot()
        pods = [pod for pod in self.pods.values() if not pod.outside]
        self.pilot.add_pods([(node_of(pod), pod.pod) for pod in pods])
        self.open_gate(self.folder.path / "control" / GATE, "mixer", "")
        self.await_mixer()

    def revive_mixer(self) -> None:
        """Start Mixer again, whether it has ended or is about to; it answers then."""
        self._mixer_ready.unlink(missing_ok=True)
        self.container("mixer").restart(timeout=0)
        self.open_gate(self.folder.path / "control" / GATE, "mixer", "")
        self.await_mixer()

    @property
    def halted(self) -> Path:
        """A file that says that the control plane was killed on purpose."""
        return self.folder.path / "halted"
