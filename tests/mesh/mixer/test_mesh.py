"""Telemetry of a real mesh, on both engines."""

from collections.abc import Iterator

import pytest
from prometheus_client.parser import text_string_to_metric_families

from mesh.envoy.supervisor import EnvoyMissingError, find_binary
from mesh.testbed.load_topology import load_topology
from mesh.testbed.local import LocalTestbed

TOPOLOGY = {
    "services": {
        "front": None,
        "back": {"workloads": [{"version": "v1"}, {"version": "v2"}]},
    }
}
# The front application is asked directly, as if it had decided itself what to send.
SPLIT = """\
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: back}
spec:
  host: back
  subsets:
    - {name: v1, labels: {version: v1}}
    - {name: v2, labels: {version: v2}}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: back}
spec:
  hosts: [back]
  http:
    - match: [{uri: {prefix: /aborted}}]
      fault: {abort: {httpStatus: 503, percentage: {value: 100}}}
      route: [{destination: {host: back, subset: v1}}]
    - match: [{uri: {prefix: /copied}}]
      route: [{destination: {host: back, subset: v1}}]
      mirror: {host: back, subset: v2}
    - match: [{uri: {prefix: /again}}]
      route: [{destination: {host: back, subset: v2}}]
      retries: {attempts: 3, retryOn: 5xx}
    - route: [{destination: {host: back, subset: v1}}]
"""
FORGED = "sidecar~127.0.0.1~{pod}.tutorial~tutorial.svc.cluster.local"


@pytest.fixture(scope="module", params=["mitmproxy", "envoy"])
def bed(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[LocalTestbed]:
    if request.param == "envoy":
        try:
            find_binary()
        except EnvoyMissingError as missing:
            pytest.skip(str(missing))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MESH_LAB_HOME", str(tmp_path_factory.mktemp("h") / "m"))
        with LocalTestbed(load_topology(TOPOLOGY), engine=request.param) as made:
            made.apply([("split.yaml", SPLIT)])
            yield made


def requests_total(text: str, reporter: str) -> dict[tuple[str, str, str, str], int]:
    """(source workload, destination workload, code, flags) -> count."""
    return {
        (
            each.labels["source_workload"],
            each.labels["destination_workload"],
            each.labels["response_code"],
            each.labels["response_flags"],
        ): int(each.value)
        for family in text_string_to_metric_families(text)
        for each in family.samples
        if each.name == "istio_requests_total" and each.labels["reporter"] == reporter
    }


def test_a_forged_source_does_not_show(bed: LocalTestbed) -> None:
    back = next(pod.name for pod in bed.pods() if pod.name.startswith("back-v2"))
    forged = {"x-envoy-peer-metadata-id": FORGED.format(pod=back)}
    seen = bed.request("http://back:8080/", from_pod="front", headers=forged)
    assert "x-envoy-peer-metadata-id" not in seen.text
    at_gateway = bed.request("/", headers=forged)
    assert "x-envoy-peer-metadata-id" not in at_gateway.text
    found = requests_total(bed.telemetry().metrics(), "destination")
    assert {source for source, _, _, _ in found} == {"front-v1", "istio-ingressgateway"}


def test_counts_agree(bed: LocalTestbed) -> None:
    """Client, journals, access logs, metrics and the graph: retries, a mirror, an abort in play."""
    before = bed.telemetry().metrics()
    journals, logs = len(bed.journal()), len(bed.access_log())
    script = '{"v2": [{"status": 503}, {"status": 503}, {"status": 200}], "v1": [{"status": 200}]}'
    answers = {"/plain": 5, "/copied": 4, "/aborted": 3, "/again": 2}
    codes = []
    for path, count in answers.items():
        for number in range(count):
            headers = (
                {"x-script": script, "x-request-id": f"{path}-{number}"} if path == "/again" else {}
            )
            codes.append(
                bed.request(f"http://back:8080{path}", from_pod="front", headers=headers).status
            )
    assert sorted(codes) == [200] * 11 + [503] * 3
    mixer = bed.telemetry()
    text = mixer.metrics()
    sent = difference(requests_total(text, "source"), requests_total(before, "source"))
    assert sent == {
        ("front-v1", "back-v1", "200", "-"): 9,
        ("front-v1", "back-v2", "200", "-"): 2,
        ("front-v1", "unknown", "503", "FI"): 3,
    }
    came = difference(requests_total(text, "destination"), requests_total(before, "destination"))
    assert came == {
        ("front-v1", "back-v1", "200", "-"): 9,
        ("front-v1", "back-v2", "200", "-"): 2 + 4,
        ("front-v1", "back-v2", "503", "-"): 4,
    }
    assert len(bed.journal()) - journals == sum(came.values())
    assert len(bed.access_log()) - logs == sum(came.values()) + sum(sent.values())
    edges = {(e.destination, e.mirrored): e for e in mixer.graph().edges if "front-v1" in e.source}
    copies = edges["workload:back-v2.tutorial:v2", True]
    assert (copies.requests, copies.share) == (4, 0.0)
    assert edges["service:back.tutorial.svc.cluster.local", False].flags == {"FI": 3}
    assert edges["workload:back-v2.tutorial:v2", False].errors == 0


def difference(
    after: dict[tuple[str, str, str, str], int], before: dict[tuple[str, str, str, str], int]
) -> dict[tuple[str, str, str, str], int]:
    found = {key: count - before.get(key, 0) for key, count in after.items()}
    return {key: count for key, count in found.items() if count}


def test_a_pod_that_was_killed_stays_counted(bed: LocalTestbed) -> None:
    bed.request("http://back:8080/", from_pod="front")
    before = requests_total(bed.telemetry().metrics(), "destination")
    bed.kill_pod("back-v1")
    bed.request("http://back:8080/", from_pod="front")
    after = requests_total(bed.telemetry().metrics(), "destination")
    assert difference(after, before) == {("front-v1", "back-v1", "200", "-"): 1}
