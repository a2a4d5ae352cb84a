"""Raw TCP through a mesh: a local port for each TCP service, routes by YAML, both engines."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator

import pytest

from mesh.accesslog import AccessLogRecord
from mesh.testbed.load_topology import load_topology
from mesh.testbed.local import LocalTestbed

TOPOLOGY = {
    "gateway": False,
    "services": {
        "caller": {"app": "scripted"},
        "echo": {
            "ports": [{"number": 9000, "name": "tcp", "protocol": "tcp"}],
            "workloads": [
                {"app": "tcp_echo", "version": "v1"},
                {"app": "tcp_echo", "version": "v2"},
            ],
        },
    },
}
RULE = """\
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: echo, namespace: tutorial}
spec:
  host: echo
  subsets:
    - {name: v1, labels: {version: v1}}
    - {name: v2, labels: {version: v2}}
"""
ROUTES = """\
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: echo, namespace: tutorial}
spec:
  hosts: [echo]
  tcp:
    - match: [{sourceLabels: {app: nobody}}]
      route: [{destination: {host: echo, subset: v1}}]
    - match: [{port: 9000}]
      route:
        - {destination: {host: echo, subset: v1}, weight: %d}
        - {destination: {host: echo, subset: v2}, weight: %d}
"""


@pytest.fixture(
    scope="module", params=["mitmproxy", pytest.param("envoy", marks=pytest.mark.envoy)]
)
def bed(request: pytest.FixtureRequest) -> Iterator[LocalTestbed]:
    with LocalTestbed(load_topology(TOPOLOGY, "topology"), engine=request.param) as started:
        yield started


def port(bed: LocalTestbed) -> int:
    """The port that the caller's application is told of."""
    environ = bed.environment("caller")
    assert environ["ECHO_SERVICE_HOST"] == "127.0.0.1"
    assert environ["ECHO_SERVICE_PORT"] == environ["ECHO_SERVICE_PORT_TCP"]
    return int(environ["ECHO_SERVICE_PORT"])


def say(bed: LocalTestbed, text: str) -> str:
    """Send a line, close our direction, read to the end."""
    with socket.create_connection(("127.0.0.1", port(bed))) as connection:
        connection.sendall(f"{text}\n".encode())
        connection.shutdown(socket.SHUT_WR)
        with connection.makefile() as received:
            return received.read()


def test_a_service_without_routes_reaches_all_its_pods(bed: LocalTestbed) -> None:
    said = {say(bed, "hello") for _ in range(40)}
    assert said == {"v1 hello\n", "v2 hello\n"}


def test_routes_by_weight_and_labels(bed: LocalTestbed) -> None:
    bed.apply([("rule.yaml", RULE), ("vs.yaml", ROUTES % (0, 100))])
    assert {say(bed, "x") for _ in range(10)} == {"v2 x\n"}
    bed.apply([("vs.yaml", ROUTES % (50, 50))])
    assert {say(bed, "x") for _ in range(40)} == {"v1 x\n", "v2 x\n"}
    bed.delete([("VirtualService", "tutorial", "echo"), ("DestinationRule", "tutorial", "echo")])


DENY = """\
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: nobody, namespace: tutorial}
spec:
  selector: {matchLabels: {app: echo}}
  action: %s
  rules: [{to: [{operation: {ports: ["9000"], methods: [GET]}}]}]
"""


@pytest.mark.parametrize("action", ["ALLOW", "DENY"])
def test_a_policy_rather_refuses_too_much(bed: LocalTestbed, action: str) -> None:
    """A method is nothing that a connection has: ALLOW matches nobody, DENY everybody."""
    bed.apply([("deny.yaml", DENY % action)])
    with contextlib.suppress(ConnectionResetError):
        assert say(bed, "x") == ""
    name = "ns[tutorial]-policy[nobody]-rule[0]" if action == "DENY" else "none"
    wanted, details = f"rbac_access_denied_matched_policy[{name}]", [""]
    while wanted not in details:  # written when the connection is gone
        details = [each.connection_termination_details for each in bed.access_log()]
    bed.delete([("AuthorizationPolicy", "tutorial", "nobody")])
    assert say(bed, "x").endswith(" x\n")


def test_both_sidecars_log_the_connection(bed: LocalTestbed) -> None:
    say(bed, "logged")
    found: dict[str, AccessLogRecord] = {}
    while len(found) < 2:  # written when the connection has ended on both sides
        found = {each.direction: each for each in bed.access_log() if each.bytes_received == 7}
    out, inbound = found["outbound"], found["inbound"]
    assert (out.bytes_sent, inbound.bytes_sent) == (10, 10)
    assert out.upstream_cluster == "outbound|9000||echo.tutorial.svc.cluster.local"
    assert inbound.upstream_cluster == "inbound|9000||"
    assert out.response_code == inbound.response_code == 0
    assert out.response_flags == ""
