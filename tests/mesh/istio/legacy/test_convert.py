"""The two formats from before: every field of the mapping, and what is none of them."""

from __future__ import annotations

import pytest

from mesh.istio import Level, era, load_text, validate
from mesh.istio.analyze.files import check_text
from mesh.istio.document import parse
from mesh.istio.legacy import convert, convert_text

SIMPLE_CB = """\
destination: serviceB.example.cluster.local
policy:
- loadBalancing:
    name: RANDOM
- tags:
    version: v1
  circuitBreaker:
    simpleCb:
      maxConnections: 100
      httpMaxPendingRequests: 3
      httpMaxRequests: 1000
      httpMaxRequestsPerConnection: 10
      httpMaxRetries: 2
      httpConsecutiveErrors: 7
      sleepWindow: 15m
      httpDetectionInterval: 5m
      httpMaxEjectionPercent: 50
      colour: red
"""


def test_a_tag_beside_tags_as_on_the_slide_is_one_of_them() -> None:
    slide = SIMPLE_CB.replace("    version: v1\n", "  version: v1\n")
    text, problems = convert_text(slide, "cb.yaml", era=era("istio-1.9"))
    [resource] = load_text(text, era=era("istio-1.9")).resources
    [subset] = resource.source.value("spec")["subsets"]
    assert (subset["name"], subset["labels"]) == ("v1", {"version": "v1"})
    assert "version beside tags" in problems[0].message
    untagged = SIMPLE_CB.replace("- tags:\n    version: v1\n  circuit", "- circuit")
    text, _ = convert_text(untagged, "cb.yaml", era=era("istio-1.9"))
    [resource] = load_text(text, era=era("istio-1.9")).resources
    assert "subsets" not in resource.source.value("spec")


def test_every_field_of_simple_cb() -> None:
    text, problems = convert_text(SIMPLE_CB, "cb.yaml", era=era("istio-1.0"))
    resource = load_text(text, era=era("istio-1.0")).resources[0]
    spec = resource.source.value("spec")
    assert spec["host"] == "serviceB.example.cluster.local"
    assert spec["trafficPolicy"] == {"loadBalancer": {"simple": "RANDOM"}}
    assert spec["subsets"] == [
        {
            "name": "v1",
            "labels": {"version": "v1"},
            "trafficPolicy": {
                "connectionPool": {
                    "tcp": {"maxConnections": 100},
                    "http": {
                        "http1MaxPendingRequests": 3,
                        "http2MaxRequests": 1000,
                        "maxRequestsPerConnection": 10,
                        "maxRetries": 2,
                    },
                },
                "outlierDetection": {
                    "consecutiveErrors": 7,
                    "interval": "5m",
                    "baseEjectionTime": "15m",
                    "maxEjectionPercent": 50,
                },
            },
        }
    ]
    (problem,) = problems
    assert problem.level is Level.INFO
    assert problem.message.startswith("legacy format, converted: ")
    assert "httpMaxRequests -> connectionPool.http.http2MaxRequests" in problem.message
    assert "nothing corresponds: colour" in problem.message
    assert problem.position.line == 1


@pytest.mark.parametrize(
    ("release", "word"),
    [
        ("istio-1.0", "consecutiveErrors"),
        ("istio-1.9", "consecutive5xxErrors"),
        ("istio-current", "consecutive5xxErrors"),
    ],
)
def test_errors_in_a_row_by_era(release: str, word: str) -> None:
    for source in (SIMPLE_CB, "- client: {failureAccrual: {kind: x, failures: 7}}\n"):
        text, _ = convert_text(source, era=era(release))
        assert f"{word}: 7" in text
        loaded = load_text(text, era=era(release))
        assert loaded.problems == []
        found = validate(loaded.resources, era(release))
        assert not [each for each in found if each.level is Level.ERROR]


@pytest.mark.parametrize(
    ("accrual", "detection"),
    [
        (
            "kind: io.l5d.successRate\nsuccessRate: 0.9\nrequests: 20\n"
            "backoff: {kind: constant, ms: 10000}",
            {"consecutive5xxErrors": 2, "baseEjectionTime": "10s", "maxEjectionPercent": 100},
        ),
        (
            "kind: io.l5d.consecutiveFailures\nfailures: 3\n"
            "backoff: {kind: jittered, minMs: 1500, maxMs: 9000}",
            {"consecutive5xxErrors": 3, "baseEjectionTime": "1500ms", "maxEjectionPercent": 100},
        ),
        ("kind: none", {"consecutive5xxErrors": 0, "maxEjectionPercent": 100}),
        (
            "kind: io.l5d.consecutiveFailures\nfailures: [a]\nbackoff: 3",
            {"consecutive5xxErrors": 5, "maxEjectionPercent": 100},
        ),
    ],
)
def test_failure_accrual(accrual: str, detection: dict[str, object]) -> None:
    lines = "".join(f"      {line}\n" for line in accrual.split("\n"))
    for text in (
        f"- protocol: http\n  client:\n    failureAccrual:\n{lines}",
        f"routers:\n- protocol: http\n  client:\n    failureAccrual:\n{lines}",
    ):
        converted, _ = convert_text(text, era=era("istio-1.9"))
        source = load_text(converted, era=era("istio-1.9")).resources[0].source
        assert source.value("spec.host") == "*.local"
        assert source.value("spec.trafficPolicy.outlierDetection") == detection


@pytest.mark.parametrize(
    "text",
    [
        "kind: VirtualService\ndestination: a\npolicy: []\n",
        "destination: a\n",
        "destination: {host: a}\npolicy: [{}]\n",
        "destination: a\npolicy: [1]\n",
        "- client: 3\n",
        "- a\n- b\n",
        "3\n",
        "routers: {client: {failureAccrual: 1}}\n",
    ],
)
def test_anything_else_is_left(text: str) -> None:
    document = parse(text, "")[0][0]
    assert convert(document, era("istio-1.0")) is None
    assert convert_text(text, era=era("istio-1.0")) == (text, [])


def test_a_legacy_document_beside_others_is_loaded_and_said_to_be_so() -> None:
    rule = "apiVersion: networking.istio.io/v1alpha3\nkind: DestinationRule\nmetadata:\n  name: a\nspec:\n  host: a\n"
    loaded = check_text(f"{rule}---\n{SIMPLE_CB}", "f.yaml", era=era("istio-1.0"))
    assert [each.name for each in loaded.resources] == ["a", "service-b"]
    said = [each for each in loaded.problems if each.code == "KIT0150"]
    assert [each.position.line for each in said] == [8]
    assert not [each for each in loaded.problems if each.level is Level.ERROR]
