"""Telemetry of a real mesh, on both engines."""

from collections import Counter
from collections.abc import Iterator

import pytest
from prometheus_client.parser import text_string_to_metric_families

from mesh.accesslog import new_request_id
from mesh.commands.logs import rules_of
from mesh.conformance.expect import binomial_p
from mesh.envoy.supervisor import EnvoyMissingError, find_binary
from mesh.mixer.client import MixerClient
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
            each.labels.get("response_flags", ""),  # a Telemetry may have removed it
        ): int(each.value)
        for family in text_string_to_metric_families(text)
        for each in family.samples
        if each.name == "istio_requests_total" and each.labels["reporter"] == reporter
    }


def span_ids(mixer: MixerClient) -> set[str]:
    return {span.id for trace in mixer.traces(1000) for span in trace.spans}


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
    """Client, journals, access logs, metrics, graph, spans: retries, a mirror, an abort in play."""
    mixer = bed.telemetry(spans=True)
    before, old = mixer.metrics(), span_ids(mixer)
    journals, logs = len(bed.journal()), len(bed.access_log())
    script = '{"v2": [{"status": 503}, {"status": 503}, {"status": 200}], "v1": [{"status": 200}]}'
    answers = {"/plain": 5, "/copied": 4, "/aborted": 3, "/again": 2}
    codes = []
    for path, count in answers.items():
        for _ in range(count):
            headers = (
                {"x-script": script, "x-request-id": new_request_id()} if path == "/again" else {}
            )
            codes.append(
                bed.request(f"http://back:8080{path}", from_pod="front", headers=headers).status
            )
    assert sorted(codes) == [200] * 11 + [503] * 3
    mixer = bed.telemetry(spans=True)
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
    # A span for each request sent and for each try received; a mirrored copy is not sampled.
    assert mixer.sync(spans=True).missing_spans == 0
    new = [s for trace in mixer.traces(1000) for s in trace.spans if s.id not in old]
    assert Counter((span.kind, span.service, span.tags["http.status_code"]) for span in new) == {
        ("CLIENT", "front.tutorial", "200"): 11,
        ("CLIENT", "front.tutorial", "503"): 3,
        ("SERVER", "back.tutorial", "200"): 9 + 2,
        ("SERVER", "back.tutorial", "503"): 4,
    }
    edges = {(e.destination, e.mirrored): e for e in mixer.graph().edges if "front-v1" in e.source}
    copies = edges["workload:back-v2.tutorial:v2", True]
    assert (copies.requests, copies.share) == (4, 0.0)
    assert edges["service:back.tutorial.svc.cluster.local", False].flags == {"FI": 3}
    assert edges["workload:back-v2.tutorial:v2", False].errors == 0


def test_spans_agree_with_the_records(bed: LocalTestbed) -> None:
    """A span for each record, but for mirrored copies: these are not sampled, as in Istio."""
    before = {span.id for trace in bed.telemetry(spans=True).traces(1000) for span in trace.spans}
    logs = len(bed.access_log())
    for path in ("/plain", "/copied", "/aborted"):
        bed.request(f"http://back:8080{path}", from_pod="front")
    mixer = bed.telemetry(spans=True)
    assert mixer.sync(spans=True).missing_spans == 0
    traces = [each for each in mixer.traces(1000) if not before & {s.id for s in each.spans}]
    plain, copied, aborted = traces
    assert [(s.kind, s.service) for _, s in plain.ordered()] == [
        ("CLIENT", "front.tutorial"),
        ("SERVER", "back.tutorial"),
    ]
    client, server = plain.spans
    assert (client.parent_id, server.parent_id) == ("", client.id)
    assert len(copied.spans) == 2
    (failed,) = aborted.spans
    assert failed.error
    assert failed.tags["response_flags"] == "FI"
    assert failed.tags["upstream_cluster"] == "outbound|8080|v1|back.tutorial.svc.cluster.local"
    assert len(bed.access_log()) - logs == 2 + 3 + 1
    (again,) = mixer.trace(plain.request_id)
    assert again == plain


def test_a_trace_goes_on_or_breaks_by_its_headers(bed: LocalTestbed) -> None:
    known = {"x-b3-traceid": "0" * 15 + "1" + "0" * 15 + "a", "x-b3-spanid": "0" * 15 + "b"}
    w3c = {"traceparent": f"00-{'c' * 32}-{'d' * 16}-01"}
    unsampled = {**known, "x-b3-traceid": "e" * 32, "x-b3-sampled": "0"}
    for headers in (known, w3c, unsampled, {}):
        bed.request("http://back:8080/", from_pod="front", headers=headers)
    mixer = bed.telemetry(spans=True)
    (found,) = mixer.trace(known["x-b3-traceid"])
    assert [span.parent_id for span in found.spans] == [known["x-b3-spanid"], found.spans[0].id]
    assert len(found.roots) == 1
    (found,) = mixer.trace("c" * 32)
    assert found.spans[0].parent_id == "d" * 16
    assert mixer.trace("e" * 32) == ()
    assert len(mixer.records("e" * 32)) == 2


METRICS = """\
apiVersion: telemetry.istio.io/v1
kind: Telemetry
metadata: {name: metrics}
spec:
  selector: {matchLabels: {app: back}}
  metrics:
    - providers: [{name: prometheus}]
      overrides:
        - match: {metric: REQUEST_SIZE}
          disabled: true
        - match: {metric: REQUEST_COUNT, mode: SERVER}
          tagOverrides:
            request_host: {value: request.host}
            response_flags: {operation: REMOVE}
"""


def test_labels_and_metrics_of_a_telemetry_resource(bed: LocalTestbed) -> None:
    pod = next(each.name for each in bed.pods() if each.name.startswith("back-v1"))

    def samples() -> list[tuple[str, dict[str, str], float]]:
        families = text_string_to_metric_families(bed.telemetry().metrics(pod))
        return [(s.name, s.labels, s.value) for each in families for s in each.samples]

    def sizes(found: list[tuple[str, dict[str, str], float]]) -> float:
        return sum(value for name, _, value in found if name == "istio_request_bytes_count")

    before = samples()
    bed.apply([("metrics.yaml", METRICS)])
    try:
        for _ in range(3):
            bed.request("http://back:8080/", from_pod="front")
        after = samples()
        changed = [
            (labels, value)
            for name, labels, value in after
            if name == "istio_requests_total" and "request_host" in labels
        ]
        assert [value for _, value in changed] == [3.0]
        assert changed[0][0]["request_host"] == "back:8080"
        assert "response_flags" not in changed[0][0]
        assert sizes(after) == sizes(before)
    finally:
        bed.delete([("Telemetry", "tutorial", "metrics")])


SAMPLING = """\
apiVersion: telemetry.istio.io/v1
kind: Telemetry
metadata: {name: tracing}
spec:
  tracing:
    - randomSamplingPercentage: 50
      customTags:
        course: {literal: {value: mesh}}
        customer: {header: {name: x-customer, defaultValue: nobody}}
"""


def test_sampling_and_tags_of_a_telemetry_resource(bed: LocalTestbed) -> None:
    """The draw is the request's id itself, so both engines draw alike."""
    bed.apply([("sampling.yaml", SAMPLING)])
    try:
        ids = {  # the first 8 digits, as a number, modulo 10,000 (below 5,000: traced)
            "00001387-0000-4000-8000-000000000001": True,
            "00001388-0000-4000-8000-000000000002": False,
            "0000270f-0000-4000-8000-000000000003": False,
            "00002710-0000-4000-8000-000000000004": True,
            "0000270f-0000-9000-8000-000000000005": True,  # decided before
            "not-a-uuid": False,
        }
        for name in ids:
            headers = {"x-request-id": name, "x-customer": "Ada"}
            bed.request("http://back:8080/", from_pod="front", headers=headers)
        mixer = bed.telemetry(spans=True)
        traces = mixer.traces(1000)
        seen = {each.request_id: each for each in traces}
        traced = {name: name[:14] + "9" + name[15:] in seen for name in ids}
        assert traced == ids
        tags = seen["00001387-0000-9000-8000-000000000001"].spans[0].tags
        assert (tags["course"], tags["customer"]) == ("mesh", "Ada")
    finally:
        bed.delete([("Telemetry", "tutorial", "tracing")])


LOGGING = """\
apiVersion: telemetry.istio.io/v1
kind: Telemetry
metadata: {name: logging}
spec:
  accessLogging:
    - {providers: [{name: envoy}], filter: {expression: "response.code >= 400"}}
"""


def test_what_the_log_shows_by_a_telemetry_resource(bed: LocalTestbed) -> None:
    assert rules_of(bed, "front") == {}
    bed.apply([("logging.yaml", LOGGING)])
    try:
        for path in ("/plain", "/aborted"):
            bed.request(f"http://back:8080{path}", from_pod="front")
        shown = rules_of(bed, "front")["outbound"]
        records = bed.access_log("front")[-2:]
        assert [(each.response_code, shown(each)) for each in records] == [
            (200, False),
            (503, True),
        ]
    finally:
        bed.delete([("Telemetry", "tutorial", "logging")])


def test_the_share_of_traced_requests(bed: LocalTestbed) -> None:
    """Ids that the sidecars make: 30 of 100 requests are traced, whole or not at all.

    A right share fails once in a million runs (two-sided, exact); 15 or 45 of 100 would
    pass once in 50 runs or less.
    """
    bed.apply([("sampling.yaml", SAMPLING.replace("50", "30"))])
    try:
        old = {(each.pod, each.request_id) for each in bed.access_log()}
        before = span_ids(bed.telemetry(spans=True))
        total = 500
        for _ in range(total):
            bed.request("http://back:8080/", from_pod="front")
        mixer = bed.telemetry(spans=True)
        new = [r for r in bed.access_log() if (r.pod, r.request_id) not in old]
        sampled = {
            d: {r.request_id for r in new if r.direction == d and r.b3_sampled == "1"}
            for d in ("outbound", "inbound")
        }
        assert len(new) == 2 * total
        assert sampled["inbound"] == sampled["outbound"]
        traced = len(sampled["inbound"])
        assert binomial_p(traced, total, 0.3) > 1e-6, traced
        assert len(span_ids(mixer) - before) == 2 * traced
    finally:
        bed.delete([("Telemetry", "tutorial", "tracing")])


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
