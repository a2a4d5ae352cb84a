"""Istio's codes where several resources meet: namespaces, exports, selectors, certificates, patches."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from time import process_time

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from mesh.istio import era, has_errors, load_text
from mesh.istio.analyze import analyze
from mesh.istio.problem import Problem
from tests.mesh.istio.analyze import test_analyzers, test_kubernetes_and_gateways
from tests.mesh.istio.analyze.cases_objects import OBJECTS
from tests.mesh.istio.analyze.cases_references import REFERENCES
from tests.mesh.istio.analyze.cluster import (
    GATE,
    Case,
    deployment,
    pod,
    policy,
    route,
    secret,
    sidecar,
    tls_gateway,
)
from tests.mesh.istio.analyze.test_kubernetes_and_gateways import gateway

ROOT = Path(__file__).parents[4]
CASES = {**REFERENCES, **OBJECTS}


def find(code: str, text: str) -> list[Problem]:
    release = era("istio-current")
    loaded = load_text(text, "f.yaml", era=release, namespace="tutorial")
    assert not has_errors(loaded.problems), [str(each) for each in loaded.problems]
    return [each for each in analyze(loaded.resources, release) if each.code == code]


@pytest.mark.parametrize("case", [pytest.param(case, id=name) for name, case in CASES.items()])
def test_found_with_its_line_and_a_hint(case: Case) -> None:
    found = find(case.code, case.bad)
    assert len(found) == case.times, found
    for each in found:
        assert case.word in each.message
        assert each.position.line > 1
        assert each.hint
        assert each.path


@pytest.mark.parametrize("case", [pytest.param(case, id=name) for name, case in CASES.items()])
def test_the_right_configuration_is_left_alone(case: Case) -> None:
    assert find(case.code, case.good) == []


@pytest.mark.parametrize(
    ("name", "good", "bad"),
    [
        ("sidecar.istio.io/interceptionMode", "TPROXY", "tproxy"),
        ("readiness.status.sidecar.istio.io/periodSeconds", "10", "-1"),
        ("status.sidecar.istio.io/port", "15020", "70000"),
        ("traffic.sidecar.istio.io/includeOutboundIPRanges", "10.0.0.0/8,fd00::/8", "10.0.0.1"),
        ("traffic.sidecar.istio.io/includeInboundPorts", "*", "80-90"),
        ("traffic.sidecar.istio.io/excludeInterfaces", "eth0, eth1", "0eth"),
        ("prometheus.istio.io/merge-metrics", "true", "yes"),
        ("proxy.istio.io/config", "{concurrency: 2}", "[1]"),
        ("sidecar.istio.io/proxyCPU", "100m", "a lot"),
        ("sidecar.istio.io/proxyMemoryLimit", "1.5Gi", "1GiB"),
    ],
)
def test_values_of_annotations(name: str, good: str, bad: str) -> None:
    for value, times in ((good, 0), (bad, 1)):
        text = pod("a", "app: a", f", annotations: {{{name}: {value!r}}}")
        assert len(find("IST0125", text)) == times, value


@pytest.mark.parametrize(("days", "times"), [(1, 0), (-1, 1)])
def test_a_certificate_of_yesterday(days: int, times: int) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "a.example")])
    end = datetime.now(UTC) + timedelta(days=days)
    made = x509.CertificateBuilder(name, name, key.public_key(), 1, end - timedelta(9), end)
    pem = made.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode()
    found = find("IST0161", GATE + secret("shop", pem) + tls_gateway("g", "shop"))
    assert [each.hint for each in found] == ["Secret shop: its certificate has expired."] * times


def test_a_file_alone_says_nothing_about_what_runs() -> None:
    text = (
        sidecar("s", "app: b")
        + gateway("g", "*", 8443)
        + route("a", "{host: x, port: {number: 1}}")
    )
    release = era("istio-current")
    loaded = load_text(text, era=release, namespace="tutorial")
    assert analyze(loaded.resources, release) == []


def test_every_code_of_istio_has_a_case() -> None:
    sources = (ROOT / "mesh/istio/analyze").glob("*.py")
    said = {code for each in sources for code in re.findall(r'"(IST\d{4})"', each.read_text())}
    cases = {each.code for each in CASES.values()}
    cases |= {each.code for each in test_analyzers.CASES.values()}
    cases |= {each.code for each in test_kubernetes_and_gateways.CASES.values()}
    assert said - cases == set()


@pytest.mark.parametrize("kind", ["Deployment", "StatefulSet", "DaemonSet"])
def test_every_kind_with_a_template_has_pods(kind: str) -> None:
    runs = deployment("{containers: [{name: c}]}").replace("kind: Deployment", f"kind: {kind}")
    for labels, times in (("app: a", 0), ("app: b", 1)):
        text = runs + policy("p", f"{{selector: {{matchLabels: {{{labels}}}}}}}")
        assert len(find("IST0127", text)) == times


def test_a_thousand_that_compete_for_a_thousand_pods_take_a_moment() -> None:
    # What may cost most: each with each, at each pod.
    text = "".join(sidecar(f"s{n}", "app: a") + pod(f"p{n}", "app: a") for n in range(1000))
    release = era("istio-current")
    resources = load_text(text, era=release).resources
    start = process_time()
    found = analyze(resources, release)
    assert process_time() - start < 2
    assert {each.code for each in found} == {"IST0110", "KIT0002"}
