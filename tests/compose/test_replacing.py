"""Pods in containers that are replaced on purpose, servers that are asked, views: on both engines.

One mesh of an engine serves all of it.  What is here locally too has its details tested there
(``tests/mesh/testbed/test_restart.py``, ``tests/conformance/cases``, ``tests/mesh/console``).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests

from mesh.console.flow_views import FlowViewError, FlowViews
from mesh.testbed.client import TestbedError
from mesh.testbed.compose.testbed import ComposeTestbed
from mesh.testbed.load_topology import load_topology
from tests.compose.needs import DOCKER
from tests.mesh.testbed.senders import Senders

pytestmark = [
    pytest.mark.compose,
    pytest.mark.nightly,
    DOCKER,
]
OUTSIDE = {"sidecar.istio.io/inject": "false"}
TOPOLOGY = load_topology(
    {
        "gateway": "backend",
        "services": {
            "backend": {"workloads": [{"version": "v1"}, {"version": "v2"}]},
            "plain": {"workloads": [{"version": "v1", "labels": OUTSIDE}]},
            "client": None,
            "guard": {
                "app": "ext_authz",
                "ports": [{"number": 8000, "name": "http"}],
                "labels": OUTSIDE,
            },
        },
        "extension_providers": [
            {
                "name": "sample",
                "envoyExtAuthzHttp": {
                    "service": "guard.tutorial.svc.cluster.local",
                    "port": 8000,
                    "includeRequestHeadersInCheck": ["x-ext-authz"],
                },
            }
        ],
    }
)
NO_RETRIES = """
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: backend, namespace: tutorial}
spec:
  hosts: [backend]
  http: [{route: [{destination: {host: backend}}], retries: {attempts: 0}}]
"""
CUSTOM = """
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: ask, namespace: tutorial}
spec:
  selector: {matchLabels: {app: backend}}
  action: CUSTOM
  provider: {name: sample}
  rules: [{to: [{operation: {paths: ["/asked"]}}]}]
"""
EDGE = """
apiVersion: config.istio.io/v1alpha2
kind: denier
metadata: {name: edge, namespace: istio-system}
spec: {status: {code: 16, message: Who}}
---
apiVersion: config.istio.io/v1alpha2
kind: checknothing
metadata: {name: nothing, namespace: istio-system}
spec: {}
---
apiVersion: config.istio.io/v1alpha2
kind: rule
metadata: {name: edge, namespace: istio-system}
spec:
  match: source.labels["istio"] == "ingressgateway" && request.path.startsWith("/edge")
  actions: [{handler: edge.denier, instances: [nothing.checknothing]}]
"""
URL = "http://backend:8080"
LIMIT = 300.0
"""Seconds after which Mixer is given up: never reached by one that is started again."""


@pytest.fixture(scope="module", params=["mitmproxy", "envoy"])
def mesh(request: pytest.FixtureRequest) -> Iterator[ComposeTestbed]:
    with ComposeTestbed(TOPOLOGY, engine=request.param, era="istio-1.0", seed="test") as bed:
        yield bed


def names(bed: ComposeTestbed, service: str) -> set[str]:
    return {pod.name for pod in bed.pods() if pod.service == service}


def test_a_service_is_rolled_and_scaled_up_under_load_without_a_failed_request(
    mesh: ComposeTestbed,
) -> None:
    mesh.apply([("no-retries.yaml", NO_RETRIES)])
    before = names(mesh, "backend")
    told: list[str] = []
    journal = len(mesh.journal())
    with Senders(mesh, "/", "backend:8080") as senders:
        new = mesh.restart("backend", told=told.append)
        added, removed = mesh.scale("backend-v1", 2)
    after = names(mesh, "backend")
    assert set(senders.statuses) == {200}
    assert after == {pod.name for pod in new} | set(added)
    assert (len(new), len(added), removed) == (2, 1, [])
    assert not after & before
    assert not [text for text in told if "cut" in text]
    assert len(mesh.journal()) - journal == len(senders.statuses)


def test_a_workload_is_scaled_to_nothing_and_back(mesh: ComposeTestbed) -> None:
    before = {each for each in names(mesh, "backend") if each.startswith("backend-v2")}
    assert mesh.scale("backend-v2", 0) == ([], sorted(before))
    for _ in range(6):
        assert '"backend-v1-' in mesh.request(f"{URL}/", from_pod="client").text
    (added,), _ = mesh.scale("backend-v2", 1)
    assert added not in before
    assert added in names(mesh, "backend")


def test_an_open_request_to_a_pod_without_a_sidecar_is_finished_or_cut_when_its_time_is_over(
    mesh: ComposeTestbed,
) -> None:
    held = {"x-script": '[{"hold": "long"}]'}
    for grace, status in ((60.0, 200), (0.0, 503)):
        told: list[str] = []
        (old,) = names(mesh, "plain")
        with ThreadPoolExecutor(2) as pool:
            url = "http://plain:8080/"
            sent = pool.submit(mesh.request, url, from_pod="client", headers=held)
            while not mesh.containers.clients_of(mesh.find("plain")):
                assert not sent.done()
            left = threading.Event()

            def hear(text: str, told: list[str] = told, left: threading.Event = left) -> None:
                told.append(text)
                if len(told) == 2:
                    left.set()

            rolled = pool.submit(mesh.restart, old, grace=grace, told=hear)
            left.wait()
            if grace:
                mesh.tell(old, "/release/long")
            assert sent.result().status == status
            rolled.result()
        assert ("cut" in told[-1]) == (not grace)
        assert names(mesh, "plain") != {old}


def test_a_server_of_ones_own_decides(mesh: ComposeTestbed) -> None:
    mesh.apply([("custom.yaml", CUSTOM)], era="istio-current")
    mesh.request(f"{URL}/", from_pod="client")  # an open connection has one answer more of before
    for headers, status in (({}, 403), ({"x-ext-authz": "allow"}, 200)):
        for _ in range(3):
            found = mesh.request(f"{URL}/asked", from_pod="client", headers=headers)
            assert found.status == status, found.text
    assert mesh.request(f"{URL}/", from_pod="client").status == 200
    asked = [line for line in mesh.journal() if line["pod"].startswith("guard")]
    assert len(asked) >= 6
    mesh.delete([("AuthorizationPolicy", "tutorial", "ask")])


def counts(mesh: ComposeTestbed) -> bool:
    """Whether Mixer answers."""
    try:
        mesh.telemetry()
    except TestbedError:
        return False
    return True


def test_mixer_is_asked_at_the_gateway_also_after_it_was_started_again(
    mesh: ComposeTestbed,
) -> None:
    assert mesh.request("/edge").status == 200
    mesh.apply([("edge.yaml", EDGE)])
    mesh.request("/")
    refused = mesh.request("/edge")
    assert (refused.status, refused.text) == (401, "UNAUTHENTICATED:edge.denier.istio-system:Who")
    assert mesh.request("/").status == 200
    mesh.containers.container("mixer").kill()
    end = time.monotonic() + LIMIT
    while not counts(mesh):
        assert time.monotonic() < end, (mesh.run.path / "warden.log").read_text()
    assert mesh.request("/edge").status == 401
    mesh.delete(
        [
            ("rule", "istio-system", "edge"),
            ("denier", "istio-system", "edge"),
            ("checknothing", "istio-system", "nothing"),
        ]
    )
    mesh.request("/")
    assert mesh.request("/edge").status == 200


def test_mitmproxys_flow_view_opens_on_a_sidecar_in_a_container(mesh: ComposeTestbed) -> None:
    pod = mesh.find("client")
    views = FlowViews()
    try:
        if mesh.engine == "envoy":
            with pytest.raises(FlowViewError, match="did not open"):
                views.open(pod.name, pod.node.admin)
            return
        address = views.open(pod.name, pod.node.admin)
        mesh.request(f"{URL}/", from_pod="client", headers={"x-request-id": "seen"})
        page = requests.Session()
        assert page.get(address, timeout=60).status_code == 200
        flows = f"{address.partition('?')[0]}flows"
        while not (found := page.get(flows, timeout=60).json()):
            pass
        assert ["x-request-id", "seen"] in found[0]["request"]["headers"]
    finally:
        views.close()
