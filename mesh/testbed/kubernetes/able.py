"""Able: what of a lab a cluster can answer, and the sentence for what it cannot.

A lab that cannot run there at all says so before anything is looked at (``obstacle``); a single question
is a NotOfferedError where it is asked, and only the checks that need it have no verdict.
"""

from __future__ import annotations

from mesh.istio.eras import Era
from mesh.testbed.kubernetes.kubectl import NotOfferedError
from mesh.topology import Topology

_NO_HTTP = ("tcp_echo", "grpc_echo")


def obstacle(topology: Topology, era: Era) -> str:
    """Return why this lab does not run on a cluster; ``""`` when it does."""
    loads = [each for service in topology.services for each in service.workloads]
    if any(each.filter for each in loads):
        return "this lab's filter runs in the kit's own sidecar: a cluster's is Envoy"
    if any(each.code for each in loads):
        return (
            "this lab runs a student's program inside an application, which needs the kit's fence"
        )
    if topology.world:
        names = ", ".join(each.name for each in topology.world[:3])
        return (
            f"this lab plays the world outside of the mesh ({names}), which a cluster has for real"
        )
    if era.mixer:
        return f"the policies of {era.name} are Mixer's, which no Istio of today has"
    if topology.l5d_dtab:
        return "this lab needs sidecars that obey Linkerd's header, which Istio's do not"
    return ""


class NoWay(dict[int, int]):
    """Ports of a pod that cannot be reached from here."""

    def __init__(self, pod: str) -> None:
        super().__init__()
        self._pod = pod

    def __missing__(self, port: int) -> int:
        raise NotOfferedError(
            f"port {port} of {self._pod} is asked past the mesh, which needs a pod without a sidecar"
        )


def no_journal(app: str) -> str:
    """Return why the journal of an application cannot be read to its end; ``""`` when it can."""
    name = app.removeprefix("services.")
    return f"{name} speaks no HTTP, so its journal has no barrier" if name in _NO_HTTP else ""


def journaled(app: str, path: str) -> tuple[str, dict[str, str]]:
    """Return path and headers of a request that an application only writes down."""
    if app.removeprefix("services.") == "reports":
        return f"/health/ready?{path}", {}  # for any other path it asks the next service
    return path, {"x-script": "[{}]"}  # a scripted backend leaves its own script alone
