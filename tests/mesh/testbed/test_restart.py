"""Pods that are replaced on purpose: nobody who sends requests meanwhile notices."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from mesh.testbed import draining
from mesh.testbed.client import TestbedError
from mesh.testbed.load_topology import load_topology
from mesh.testbed.local import LocalTestbed
from tests.mesh.testbed.senders import Senders

ENGINES = ["mitmproxy", pytest.param("envoy", marks=pytest.mark.envoy)]
TOPOLOGY = {
    "gateway": "istio-ingressgateway",
    "services": {
        "backend": {"workloads": [{"version": "v1", "replicas": 2}, {"version": "v2"}]},
        "plain": {"workloads": [{"version": "v1", "labels": {"sidecar.istio.io/inject": "false"}}]},
        "client": {},
    },
}
NO_RETRIES = """
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: backend, namespace: tutorial}
spec:
  hosts: [backend]
  http: [{route: [{destination: {host: backend}}], retries: {attempts: 0}}]
"""


@pytest.fixture(scope="module", params=ENGINES)
def bed(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[LocalTestbed]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MESH_LAB_HOME", str(tmp_path_factory.mktemp("h").resolve()))
        with LocalTestbed(load_topology(TOPOLOGY), engine=request.param) as running:
            running.apply([("no-retries.yaml", NO_RETRIES)])
            yield running


def names(bed: LocalTestbed, service: str) -> set[str]:
    return {pod.name for pod in bed.pods() if pod.service == service}


def test_a_service_is_rolled_under_load_without_a_failed_request(bed: LocalTestbed) -> None:
    before, told = names(bed, "backend"), []
    with Senders(bed, "http://backend:8080/") as senders:
        new = bed.restart("backend", told=told.append)
    after = names(bed, "backend")
    assert set(senders.statuses) == {200}
    assert {pod.name for pod in new} == after
    assert len(after) == 3 and not after & before
    assert {pod.workload for pod in new} == {"backend-v1", "backend-v2"}
    assert not [text for text in told if "cut" in text]
    handled = [line for line in bed.journal() if line["pod"] in before | after]
    assert len(handled) == len(senders.statuses)
    records = [each for each in bed.access_log() if each.direction == "inbound"]
    assert len(records) == len(senders.statuses)


def test_an_open_request_is_finished_by_the_old_pod_and_cut_only_when_its_time_is_over(
    bed: LocalTestbed,
) -> None:
    (old,) = [pod for pod in bed.pods() if pod.workload == "backend-v2"]
    held = {"x-script": '{"v1": [{}], "v2": [{"hold": "open"}]}'}
    out = threading.Event()

    def told(text: str) -> None:
        if text.endswith(draining.LEFT):
            out.set()

    with ThreadPoolExecutor(8) as pool:
        sent = [
            pool.submit(bed.request, "http://backend:8080/", from_pod="client", headers=held)
            for _ in range(6)
        ]
        while not bed.stats(old.name, r"inbound_.*downstream_rq_active$").get(
            "http.inbound_0.0.0.0_8080.downstream_rq_active"
        ):
            sent.append(
                pool.submit(bed.request, "http://backend:8080/", from_pod="client", headers=held)
            )
        rolled = pool.submit(bed.restart, old.name, told=told)
        out.wait()
        for _ in range(12):
            assert bed.request("http://backend:8080/", from_pod="client").status == 200
        assert not rolled.done()
        assert old.name in {pod.name for pod in bed.pods()}
        bed.tell(old.name, "/release/open")
        assert {each.result().status for each in sent} == {200}
        rolled.result()
    assert old.name not in {pod.name for pod in bed.pods()}


def test_what_takes_longer_than_the_grace_period_is_cut(bed: LocalTestbed) -> None:
    held = {"x-script": '[{"hold": "for-ever"}]'}
    told: list[str] = []
    with ThreadPoolExecutor(1) as pool:
        sent = pool.submit(bed.request, "http://plain:8080/", from_pod="client", headers=held)
        while not draining.connected(bed.find("plain")):
            assert not sent.done()
        bed.restart("plain-v1", grace=0, told=told.append)
        assert sent.result().status == 503
    assert "1 connections were cut" in told[-1]
    assert bed.request("http://plain:8080/", from_pod="client").status == 200


def test_a_gateway_is_not_restarted(bed: LocalTestbed) -> None:
    with pytest.raises(TestbedError, match="is no pod of a service"):
        bed.restart("istio-ingressgateway")
