"""The control plane as a process, with the real Envoy as its client."""

from __future__ import annotations

import http.client
import os
import signal
import socket
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from mesh.envoy.admin import Admin
from mesh.envoy.bootstrap import bootstrap
from mesh.envoy.supervisor import EnvoyOptions
from mesh.envoy.supervisor import run as run_envoy
from mesh.pilot.client import PilotClient, PilotError
from mesh.pilot.main import PilotOptions
from mesh.pilot.main import run as run_pilot
from mesh.pilot.node import ProxyNode
from mesh.testbed.engines import REUSE_PORT
from mesh.testbed.ports import Ports
from mesh.topology import Pod, Service

pytestmark = pytest.mark.envoy
HOST = "recommendation.tutorial.svc.cluster.local"
HEAD = "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: r}\nspec:\n  hosts: [recommendation]\n  http:\n"
TEAPOT = f"{HEAD}  - directResponse: {{status: 418}}\n"
BAD = f"{HEAD}  - match: [{{uri: {{regex: '/a{{99999}}'}}}}]\n    directResponse: {{status: 200}}\n"


def fork(body: Callable[[], object]) -> int:
    child = os.fork()
    if child == 0:
        status = 1
        try:
            body()
            status = 0
        finally:
            os._exit(status)
    return child


class Pilot:
    """A pilot that can be killed and started again on the same folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.client = PilotClient(folder / "api")
        self.pids: list[int] = []
        self.lifeline = -1

    def start(self) -> int:
        ready_read, ready_write = os.pipe()
        lifeline_read, lifeline_write = os.pipe()
        options = PilotOptions(
            self.folder / "ads",
            self.folder / "api",
            self.folder / "store",
            (Service("recommendation"),),
            namespace="tutorial",
            ready_fd=ready_write,
            lifeline_fd=lifeline_read,
        )

        def body() -> None:
            os.close(lifeline_write)
            os.close(ready_read)
            run_pilot(options)

        pid = fork(body)
        os.close(ready_write)
        os.close(lifeline_read)
        self.lifeline = lifeline_write
        assert os.read(ready_read, 1) == b"1"
        os.close(ready_read)
        self.pids.append(pid)
        return pid

    def kill(self, pid: int) -> None:
        self.pids.remove(pid)
        os.close(self.lifeline)
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


@pytest.fixture
def pilot() -> Iterator[Pilot]:
    with tempfile.TemporaryDirectory(prefix="pilot-") as name:
        found = Pilot(Path(name))
        found.start()
        yield found
        for pid in list(found.pids):
            found.kill(pid)


@pytest.fixture
def node(pilot: Pilot) -> Iterator[ProxyNode]:
    """A sidecar of recommendation on the real Envoy, in force."""
    ports = Ports()
    inbound, outbound, admin = ports.take(3)
    log = pilot.folder / "envoy.log"
    found = ProxyNode(
        "recommendation-v1-0",
        "tutorial",
        labels={"version": "v1"},
        services=(HOST,),
        inbound_ports={8080: inbound},
        outbound_port=outbound,
        app_socket=str(pilot.folder / "app"),
        admin_port=admin,
        access_log=str(pilot.folder / "access.jsonl"),
    )
    pod = Pod(
        found.pod,
        "tutorial",
        "recommendation",
        "r",
        {"version": "v1"},
        "sa",
        "127.0.0.1",
        {8080: inbound},
    )
    pilot.client.add_pods([(found, pod)])
    config = bootstrap(found.to_xds().to_dict(), str(pilot.folder / "ads"), found.admin_port)
    config["admin"]["socket_options"] = [REUSE_PORT]
    supervisor = fork(lambda: run_envoy(EnvoyOptions(config, log)))
    try:
        outcome = pilot.client.in_force([found.name], timeout=20)
        assert outcome.in_force, (outcome, log.read_text())
        yield found
    finally:
        os.kill(supervisor, signal.SIGTERM)
        os.waitpid(supervisor, 0)
        ports.close()


def status_of(node: ProxyNode) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", node.outbound_port, timeout=10)
    connection.request("GET", "http://recommendation:8080/")
    status = connection.getresponse().status
    connection.close()
    return status


def test_what_apply_answered_is_in_force(pilot: Pilot, node: ProxyNode) -> None:
    result = pilot.client.apply([("r.yaml", TEAPOT)])
    assert result.in_force, result
    assert result.applied == ("VirtualService tutorial/r",)
    assert status_of(node) == 418
    [row] = pilot.client.proxy_status()
    assert set(row.types.values()) == {"SYNCED"}
    assert pilot.client.delete([("VirtualService", "", "r")]).in_force
    assert status_of(node) == 503  # the route is back, its application does not listen


def test_what_is_applied_at_once_is_of_one_age(pilot: Pilot) -> None:
    """Names decide then, as in a cluster, and a change or a new control plane changes no age."""

    def order() -> list[str]:
        return [row["name"] for row in pilot.client.resources()]

    first, second = (TEAPOT.replace("name: r}", f"name: {name}}}") for name in "za")
    assert first != TEAPOT
    pilot.client.apply([("r.yaml", f"{first}---\n{second}")])
    assert order() == ["a", "z"]
    pilot.client.apply([("m.yaml", TEAPOT.replace("name: r}", "name: m}"))])
    pilot.client.apply([("r.yaml", second)])
    assert order() == ["a", "z", "m"]
    pilot.kill(pilot.pids[-1])
    pilot.start()
    assert order() == ["a", "z", "m"]


def test_a_refusal_comes_back_with_envoys_reason_and_the_line(
    pilot: Pilot, node: ProxyNode
) -> None:
    result = pilot.client.apply([("r.yaml", BAD)])
    assert not result.in_force
    # Validation may know it before Envoy is asked; the line comes back either way.
    places = [(each.file, each.line) for each in result.nacks]
    places += [(each.position.file, each.position.line) for each in result.problems]
    assert places == [("r.yaml", 7)]


def test_a_port_that_is_taken_is_refused_with_envoys_reason(pilot: Pilot, node: ProxyNode) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        moved = replace(node, inbound_ports={8080: taken.getsockname()[1]})
        pilot.client.add_pods([(moved, None)])
        outcome = pilot.client.in_force([node.name])
    assert not outcome.in_force
    [nack] = outcome.nacks
    assert (nack.node, nack.type) == (node.name, "LDS")
    assert "virtualInbound" in nack.reason
    assert pilot.client.proxy_status()[0].types["LDS"] == "STALE"


def test_an_error_applies_nothing(pilot: Pilot) -> None:
    result = pilot.client.apply([("a.yaml", TEAPOT), ("b.yaml", "kind: [")])
    assert result.problems
    assert result.applied == ()
    assert pilot.client.resources() == []


def test_a_killed_pilot_loses_nothing_and_envoy_comes_back(pilot: Pilot, node: ProxyNode) -> None:
    pilot.client.apply([("r.yaml", TEAPOT)])
    pilot.kill(pilot.pids[0])
    with pytest.raises(PilotError, match="does not answer"):
        pilot.client.resources()
    pilot.start()
    assert [each["name"] for each in pilot.client.resources()] == ["r"]
    pilot.client.add_pods([(node, None)])
    assert pilot.client.in_force([node.name], timeout=30).in_force
    assert status_of(node) == 418


def test_a_node_that_never_comes_is_named(pilot: Pilot) -> None:
    pilot.client.add_pods([(ProxyNode("ghost", "tutorial"), None)])
    outcome = pilot.client.in_force(["ghost"], timeout=0.2)
    assert not outcome.in_force
    assert outcome.missing == ("ghost.tutorial",)
    assert pilot.client.apply([("r.yaml", TEAPOT)]).in_force  # it does not hold up the others


def test_sentences_for_what_is_wrong(pilot: Pilot) -> None:
    with pytest.raises(PilotError, match='no pod "nobody"'):
        pilot.client.snapshot("nobody")
    with pytest.raises(PilotError, match="unknown era"):
        pilot.client.apply([], era="istio-9")


def test_views_and_the_log_barrier(pilot: Pilot, node: ProxyNode) -> None:
    columns, rows = pilot.client.proxy_config(node.pod, "clusters")
    assert columns[0] == "SERVICE FQDN"
    assert [HOST, "8080", "-", "outbound", "EDS", ""] in rows
    assert "http_proxy" in pilot.client.snapshot(node.id)["LDS"]
    status_of(node)
    admin = Admin(node.admin_port)
    admin.reopen_logs()
    assert '"direction":"outbound"' in Path(node.access_log).read_text()
    assert admin.stats("warming_clusters")["cluster_manager.warming_clusters"] == 0


def test_the_pilot_ends_with_its_lifeline(pilot: Pilot) -> None:
    [pid] = pilot.pids
    pilot.pids.clear()
    os.close(pilot.lifeline)
    _, status = os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(status) == 0
