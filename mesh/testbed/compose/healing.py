"""Healing: what the kubelet does for a pod whose container ended, as far as Docker does not.

Docker starts nothing again that was killed, and a restart of the container that owns a pod's
network leaves the others in the old one, without rules and without an address (``docker compose
up`` does not see it).  So whoever watches the mesh (``warden``) calls ``heal`` when a container
has ended: the owner comes back first, then the rules, then sidecar and application in the new
network.  The pod gets no requests meanwhile, and a new bootstrap token, for its key is gone.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from docker.errors import DockerException

from mesh.testbed.client import TestbedError
from mesh.testbed.compose.deployment import ComposeDeployment
from mesh.testbed.pods import LocalPod
from mesh.testbed.podset import node_of


def pod_of(running: ComposeDeployment, service: str) -> LocalPod | None:
    """Return the pod that a Compose service is a part of."""
    for pod in running.pods.values():
        if service in running.containers_of(pod):
            return pod
    return None


@dataclass(slots=True)
class Healer:
    """Mends; ``known`` is when the containers that it put into service had been started.

    Its own restarts are ends of containers too: what runs as it left it needs nothing.
    """

    known: dict[str, str] = field(default_factory=dict)

    def heal(self, running: ComposeDeployment, service: str) -> bool:
        """Mend what the end of a container broke; False when there is nothing to mend.

        Raises TestbedError when it cannot be mended.
        """
        if service in ("pilot", "mixer"):
            return self._heal_control(running, service)
        pod = pod_of(running, service)
        if pod is None or service.endswith("-init"):
            return False
        owner, sidecar = f"{pod.name}-pod", f"{pod.name}-sidecar"
        try:
            if self.known.get(service) == started(running, service):
                return False
            lost = not started(running, owner) or service == owner
            broken = lost or (
                pod.injected and (service == sidecar or not started(running, sidecar))
            )
            if broken:
                _out_of_service(running, pod)
            if lost:
                running.container(owner).start()
                _rejoin(running, pod)
            else:  # what ended, and what ended unseen before
                for each in running.containers_of(pod):
                    if not each.endswith("-init"):
                        running.container(each).start()
        except (TestbedError, DockerException):
            return False  # it is being removed: the pod is replaced, or the mesh ends
        for each in running.containers_of(pod):
            self.known[each] = started(running, each)
        if broken:
            _into_service(running, pod)
        return True

    def _heal_control(self, running: ComposeDeployment, service: str) -> bool:
        """Start control plane and Mixer again; Mixer ends with the control plane."""
        if (
            running.halted.exists()
            or self.known.get(service, "") == started(running, service) != ""
        ):
            return False
        if service == "mixer" and not started(running, "pilot"):
            return False  # the control plane's own end brings both back
        if service == "mixer":
            running.revive_mixer()
        else:
            running.revive_control()
        for each in ("pilot", "mixer"):
            self.known[each] = started(running, each)
        return True


def started(running: ComposeDeployment, service: str) -> str:
    """When a container was started, ``""`` if it does not run now."""
    state = running.container(service).attrs["State"]
    return str(state["StartedAt"]) if state["Running"] else ""


def _out_of_service(running: ComposeDeployment, pod: LocalPod) -> None:
    running.pilot.remove_pods([(pod.name, pod.node.namespace)])


def _rejoin(running: ComposeDeployment, pod: LocalPod) -> None:
    """Bring rules, sidecar and application into the owner's new network.

    The sidecar takes longest, and waits at its gate: it starts beside the rules.  The application
    comes after them, or it could send something that nobody captures.
    """
    others = [each for each in running.containers_of(pod) if not each.endswith("-pod")]
    rules = [each for each in others if each.endswith("-init")]

    def restart(service: str) -> None:
        running.container(service).restart(timeout=0)

    with ThreadPoolExecutor(3) as pool:
        sidecar = [pool.submit(restart, each) for each in others if each.endswith("-sidecar")]
        for each in rules:
            container = running.container(each)
            container.start()
            container.wait(timeout=60)
        left = [each for each in others if each not in rules and not each.endswith("-sidecar")]
        for done in (*sidecar, *[pool.submit(restart, each) for each in left]):
            done.result()


def _into_service(running: ComposeDeployment, pod: LocalPod) -> None:
    running.register([(node_of(pod), None)])
    running.await_doors([pod])
    running.await_in_force([pod])
    running.pilot.add_pods([(node_of(pod), pod.pod)])
    running.await_in_force(running.pods.values())
