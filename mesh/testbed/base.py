"""Testbed: a running mesh, whatever it runs on.

The grader, the conformance runner and ``meshctl`` speak to this interface only; ``local`` is the
mesh of processes on this machine.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol, Self

from mesh.accesslog import AccessLogRecord
from mesh.pilot.node import ProxyNode
from mesh.state import RunFolder
from mesh.testbed.child import ChildSpec
from mesh.testbed.client import TestbedError
from mesh.topology import Pod, Topology

if TYPE_CHECKING:
    from mesh.agent.agent import AgentOptions
    from mesh.istio.resource import Resource
    from mesh.pilot.client import ApplyResult

ENGINES = ("mitmproxy", "envoy")

Document = tuple[str, str]
"""(file name for messages, YAML text)."""


class ApplyError(TestbedError):
    """A configuration was refused; ``result`` has the problems and refusals one by one."""

    def __init__(self, result: ApplyResult) -> None:
        self.result = result
        errors = [str(each) for each in result.problems if str(each.level) == "error"]
        refusals = [f"{nack.node} refused {nack.type}: {nack.reason}" for nack in result.nacks]
        text = "\n".join(errors or refusals) or result.reason or "the configuration was refused"
        super().__init__(text)


@dataclass(frozen=True, slots=True)
class Answer:
    """What a client got: header names are lower-case, in the order received."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes

    @property
    def text(self) -> str:
        """The body as text."""
        return self.body.decode("utf-8", "replace")

    def header(self, name: str) -> str:
        """Return a header's value (repeated ones joined by a comma), ``""`` when it is absent."""
        return ",".join(value for key, value in self.headers if key == name.lower())


class Engine(Protocol):
    """A data plane: how a sidecar is started."""

    name: str
    mtls: bool
    """Whether its sidecars get certificates."""

    def check(self) -> None:
        """Raise TestbedError with a remedy when this machine cannot run it."""

    def modules(self) -> list[str]:
        """Return the modules that the preloaded process imports for it."""

    def spec(
        self, node: ProxyNode, ads_socket: Path, folder: Path, agent: AgentOptions | None
    ) -> ChildSpec:
        """Return the process of the sidecar ``node``, whose files are in ``folder``."""


class Testbed(Protocol):
    """A mesh that can be configured, asked and broken."""

    topology: Topology

    @property
    def run(self) -> RunFolder:
        """The folder of this mesh; NotOfferedError where it has none on this machine."""

    @property
    def gateway_url(self) -> str:
        """Where the ingress gateway listens, ``http://127.0.0.1:PORT``; ``""`` without one."""

    def proxy_url(self, pod: str) -> str:
        """Return the outbound listener of a pod, to send requests as its application does."""

    def start(self) -> None:
        """Start everything; returns when it is in force, else TestbedError and nothing is left."""

    def apply(
        self, what: Iterable[Path | str | Document | Resource], *, era: str = ""
    ) -> ApplyResult:
        """Apply configuration and wait until it is in force; ApplyError when it is refused.

        ``era`` is the release that reads it, ``""`` the mesh's own.

        Files and texts are added to what is applied, as ``kubectl apply`` does.  Resources are
        meant as the whole configuration: what is applied and not among them is removed, except
        the default ingress.
        """

    def delete(self, resources: Iterable[tuple[str, str, str]]) -> ApplyResult:
        """Remove resources by (kind, namespace, name) and wait until that is in force."""

    def pods(self) -> tuple[Pod, ...]:
        """Return the running pods, without the gateway, by name."""

    def kill_pod(self, name: str) -> Pod:
        """Kill a pod as ``kill -9`` would; returns the new pod that replaced it."""

    def restart(
        self, name: str, *, grace: float = ..., told: Callable[[str], None] = ...
    ) -> list[Pod]:
        """Replace the pods of a pod's name, a workload or a service, without a failed request."""

    def scale(self, workload: str, replicas: int) -> tuple[list[str], list[str]]:
        """Let a workload have so many pods, as ``kubectl scale`` does: names added, names removed."""

    def kill_pilot(self) -> None:
        """Kill the control plane; the sidecars go on with what they have."""

    def start_pilot(self) -> None:
        """Start a killed control plane again and wait until what was applied is in force."""

    def logs(self, name: str) -> str:
        """Return what the pod's application and its sidecar printed."""

    def access_log(self, pod: str = "") -> tuple[AccessLogRecord, ...]:
        """Return the records of one or all pods, gateway included: everything logged so far."""

    def journal(self, pod: str = "") -> tuple[dict[str, Any], ...]:
        """Return what the applications handled (``services.journal``), in order of time."""

    def request(
        self,
        path: str,
        *,
        from_pod: str | None = None,
        headers: Mapping[str, str] | None = None,
        method: str = "GET",
        body: bytes = b"",
    ) -> Answer:
        """Send one request on a new connection.

        Without ``from_pod`` it goes to the ingress gateway; with it, ``path`` is a URL
        (``http://recommendation:8080/``) that this pod's application could have asked for.
        """

    def tell(self, pod: str, path: str) -> Answer:
        """Ask a pod's application itself, past every sidecar."""

    def reload_filter(self, pod: str) -> None:
        """Let the sidecar load the filter that stands beside it again (``Workload.filter``)."""

    def stats(self, pod: str, pattern: str) -> dict[str, int]:
        """Return a sidecar's counters and gauges whose name the regex ``pattern`` finds."""

    def keep(self) -> str:
        """Let the mesh outlive this process, until ``meshctl down``; returns its name."""

    def stop(self) -> None:
        """End everything: no process and no file is left."""

    def __enter__(self) -> Self:
        """Start it."""

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop it."""
