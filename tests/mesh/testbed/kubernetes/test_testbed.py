"""A lab on a cluster, seen through kubectl alone: what the testbed can and cannot do there."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from mesh.istio.eras import era
from mesh.istio.load import load_text
from mesh.istio.resource import Resource
from mesh.testbed.base import ApplyError
from mesh.testbed.client import TestbedError
from mesh.testbed.kubernetes import evidence
from mesh.testbed.kubernetes.kubectl import NotOfferedError
from mesh.testbed.kubernetes.testbed import KubernetesTestbed
from mesh.testbed.load_topology import load_topology, standard_topology
from tests.mesh.testbed.kubernetes.fake_cluster import FakeCluster

pytestmark = pytest.mark.envoy
ERA = "istio-1.9"
TO_V2 = """\
apiVersion: networking.istio.io/v1alpha3
kind: DestinationRule
metadata: {name: recommendation, namespace: tutorial}
spec: {host: recommendation, subsets: [{name: v2, labels: {version: v2}}]}
---
apiVersion: networking.istio.io/v1alpha3
kind: VirtualService
metadata: {name: recommendation, namespace: tutorial}
spec: {hosts: [recommendation], http: [{route: [{destination: {host: recommendation, subset: v2}}]}]}
"""


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FakeCluster]:
    folder = tmp_path_factory.mktemp("k")
    with FakeCluster(standard_topology(), folder, folder / "h") as running:
        yield running
        assert running.faults == []


@pytest.fixture(scope="module")
def bed(cluster: FakeCluster) -> Iterator[KubernetesTestbed]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", cluster.path)
        with KubernetesTestbed(standard_topology(), era=ERA) as running:
            yield running
        left = [key for key in cluster._known if key[2] != "customer-gateway"]
        assert left == []
        assert cluster.config_maps == {}


def resources(text: str) -> tuple[Resource, ...]:
    return tuple(load_text(text, era=era(ERA), namespace="tutorial").resources)


def test_a_log_that_is_not_json_is_told_before_anything_is_judged(
    cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first one here: no other grader is there yet, and it leaves nothing to the next."""
    monkeypatch.setenv("PATH", cluster.path)
    monkeypatch.setattr(cluster, "json_log", False)
    with pytest.raises(TestbedError, match=r"access log is not JSON: .*istio-install\.yaml"):
        KubernetesTestbed(standard_topology(), era=ERA).start()
    assert cluster.config_maps == {}


def test_what_apply_returns_from_is_in_force(bed: KubernetesTestbed) -> None:
    for _ in range(3):
        bed.apply(resources(TO_V2))
        assert {bed.request("/").text.count("recommendation v2") for _ in range(6)} == {1}
        bed.apply(())
        answers = [
            bed.request("http://recommendation:8080/", from_pod="preference").text
            for _ in range(12)
        ]
        assert any("recommendation v1" in each for each in answers)


def test_the_evidence_of_a_request_is_complete(bed: KubernetesTestbed) -> None:
    request_id = "11111111-2222-9333-8444-555555555555"
    answer = bed.request("/", headers={"x-request-id": request_id})
    assert answer.status == 200
    hops = [each for each in bed.access_log() if each.request_id == request_id]
    assert sorted((each.pod[:8], each.direction) for each in hops) == [
        ("customer", "inbound"),
        ("customer", "outbound"),
        ("istio-in", "outbound"),
        ("preferen", "inbound"),
        ("preferen", "outbound"),
        ("recommen", "inbound"),
    ]
    lines = [each["pod"] for each in bed.journal() if each["request_id"] == request_id]
    assert sorted(each.partition("-")[0] for each in lines) == [
        "customer",
        "preference",
        "recommendation",
    ]


def test_the_kits_own_requests_are_no_evidence(bed: KubernetesTestbed) -> None:
    bed.journal()
    assert not [each for each in bed.access_log() if "mesh-lab" in each.path + each.authority]
    assert not [each for each in bed.journal() if evidence.BARRIER in each["path"]]


def test_an_application_is_told_something_past_its_sidecar(bed: KubernetesTestbed) -> None:
    assert "503" in bed.tell("recommendation-v2", "/misbehave").text
    try:
        answer = bed.request("http://recommendation:8080/", from_pod="preference")
        seen = {answer.status} | {
            bed.request("http://recommendation:8080/", from_pod="preference").status
            for _ in range(20)
        }
        assert 200 in seen
    finally:
        bed.tell("recommendation-v2", "/behave")


def test_a_sidecars_statistics_are_read(bed: KubernetesTestbed) -> None:
    before = bed.stats("customer", r"http.*\.downstream_rq_total$")
    bed.request("/")
    after = bed.stats("customer", r"http.*\.downstream_rq_total$")
    assert sum(after.values()) > sum(before.values())


def test_a_name_that_is_none_gets_no_answer(bed: KubernetesTestbed) -> None:
    assert bed.request("http://nowhere:8080/", from_pod="customer").status >= 500


def test_what_istio_refuses_is_an_apply_error_in_its_words(bed: KubernetesTestbed) -> None:
    text = TO_V2.replace("subset: v2}}]", "subset: v2}, weight: -1}]")
    with pytest.raises(ApplyError, match=r"admission webhook .* denied the request"):
        bed.apply([("mine.yaml", text)])


def test_a_killed_pod_is_replaced_and_its_journal_stays(bed: KubernetesTestbed) -> None:
    bed.apply(resources(TO_V2))
    bed.request("http://recommendation:8080/", from_pod="preference")
    (old,) = [pod for pod in bed.pods() if pod.workload == "recommendation-v2"]
    new = bed.kill_pod(old.name)
    assert new.workload == "recommendation-v2"
    assert new.name != old.name
    answer = bed.request("http://recommendation:8080/", from_pod="preference")
    assert new.name in answer.text
    pods = {each["pod"] for each in bed.journal()}
    assert {old.name, new.name} <= pods
    bed.apply(())


def test_what_no_cluster_offers_is_said(bed: KubernetesTestbed) -> None:
    for ask in (bed.kill_pilot, bed.start_pilot, bed.telemetry, lambda: bed.reload_filter("a")):
        with pytest.raises(NotOfferedError):
            ask()
    with pytest.raises(NotOfferedError, match="needs a pod without a sidecar"):
        bed.pods()[0].ports[8080]


def test_a_second_grader_is_sent_away_and_changes_nothing(
    cluster: FakeCluster, bed: KubernetesTestbed
) -> None:
    before = dict(cluster._known)
    with pytest.raises(TestbedError, match=r"grades in the namespace tutorial .*take over with"):
        KubernetesTestbed(standard_topology(), era=ERA).start()
    assert cluster._known == before
    bed.apply(())


def test_a_lab_that_no_cluster_can_run_says_so_first() -> None:
    topology = load_topology({"services": {"a": None}, "world": {"edition.cnn.com": None}})
    with pytest.raises(NotOfferedError, match=r"plays the world outside .*edition\.cnn\.com"):
        KubernetesTestbed(topology, era=ERA).start()
