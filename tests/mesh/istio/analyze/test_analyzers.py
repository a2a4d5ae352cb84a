"""Each analyzer on the smallest configuration that it must find fault with, and one it must not."""

from __future__ import annotations

import pytest

from mesh.istio import era, load_text
from mesh.istio.analyze import analyze
from services import propagation
from tests.mesh.istio.analyze.cases_gateway_api import GATEWAY_API
from tests.mesh.istio.analyze.cases_security import SECURITY
from tests.mesh.istio.analyze.cases_traffic import TRAFFIC
from tests.mesh.istio.analyze.written import CANARY, MESH, SUBSETS, Case, authz, dr, find, vs

CASES = {**TRAFFIC, **SECURITY, **GATEWAY_API}


@pytest.mark.parametrize("case", [pytest.param(case, id=name) for name, case in CASES.items()])
def test_found_with_its_line_and_a_hint(case: Case) -> None:
    found = find(case.bad, case.code, case.era)
    assert found, "nothing found"
    first = found[0]
    assert first.position.line == case.line, str(first)
    assert case.word in first.message
    assert first.hint
    assert first.resource
    assert first.path


@pytest.mark.parametrize("case", [pytest.param(case, id=name) for name, case in CASES.items()])
def test_the_right_configuration_is_left_alone(case: Case) -> None:
    assert find(case.good, case.code, case.era) == []


@pytest.mark.parametrize(
    ("tls", "more", "old", "current"),
    [
        ("{mode: SIMPLE}", "", 1, 1),
        ("{mode: MUTUAL, clientCertificate: /c, privateKey: /k}", "", 1, 1),
        ("{mode: SIMPLE, caCertificates: /ca.pem}", "", 0, 0),
        ("{mode: SIMPLE, credentialName: ca}", "", 1, 1),
        ("{mode: SIMPLE, credentialName: ca}", "workloadSelector: {matchLabels: {app: a}}\n", 1, 0),
        ("{mode: SIMPLE, insecureSkipVerify: true}", "", 1, 1),
        ("{mode: DISABLE}", "", 0, 0),
    ],
)
def test_servers_without_authorities_as_in_istio(
    tls: str, more: str, old: int, current: int
) -> None:
    text = dr(f"{more}trafficPolicy:\n  tls: {tls}")
    found = find(text, "IST0128", "istio-1.9"), find(text, "IST0128")
    assert tuple(map(len, found)) == (old, current)
    subset = dr(f"subsets:\n- name: v1\n  trafficPolicy: {{tls: {tls}}}")
    assert find(subset, "IST0128") == []
    if current:
        assert str(found[1][0].message).startswith(
            "DestinationRule tutorial/r in namespace tutorial has TLS mode set to "
        )
        assert found[1][0].message.endswith("validate server identity for host: recommendation")


def test_a_good_canary_is_clean() -> None:
    loaded = load_text(CANARY + SUBSETS, era=era("istio-current"), namespace="tutorial")
    assert analyze(loaded.resources, era("istio-current"), MESH) == []


def test_nothing_is_said_about_services_nobody_told_of() -> None:
    loaded = load_text(vs("- route: [{destination: {host: elsewhere}}]"), era=era("istio-current"))
    assert analyze(loaded.resources, era("istio-current")) == []


def test_kubernetes_objects_count_as_topology() -> None:
    text = (
        "apiVersion: v1\nkind: Service\nmetadata: {name: a}\n"
        "spec: {selector: {app: a}, ports: [{name: http, port: 80}]}\n---\n"
        "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: a-v1}\n"
        "spec: {template: {metadata: {labels: {app: a, version: v1}}, spec: {containers: [{name: a}]}}}\n"
        "---\n" + dr("subsets:\n- name: v2\n  labels: {version: v2}", "a")
    )
    loaded = load_text(text, era=era("istio-current"))
    assert [each.code for each in analyze(loaded.resources, era("istio-current"))] == ["IST0173"]


def test_an_old_era_honours_consecutive_errors() -> None:
    text = dr("trafficPolicy:\n  outlierDetection:\n    consecutiveErrors: 1").replace(
        "/v1\n", "/v1alpha3\n"
    )
    assert find(text, "KIT0106", "istio-1.0") == []
    assert find(text, "KIT0106", "istio-1.9")


@pytest.mark.parametrize(
    ("principal", "meant"),
    [
        (
            "cluster.local/ns/tutorial/sa/costumer",
            "Did you mean cluster.local/ns/tutorial/sa/customer?",
        ),
        (
            "cluster.local/ns/default/sa/customer",
            "Did you mean cluster.local/ns/tutorial/sa/customer?",
        ),
        ("preference", "Did you mean cluster.local/ns/tutorial/sa/preference?"),
        ("cluster.local/ns/tutorial/sa/robot", "There are cluster.local/ns/istio-system/sa/"),
    ],
)
def test_the_identity_that_was_meant_is_the_one_with_the_nearest_account(
    principal: str, meant: str
) -> None:
    text = authz(f"rules:\n- from:\n  - source:\n      principals: [{principal}]")
    [problem] = find(text, "KIT0118")
    assert problem.hint.startswith(meant)


def test_every_code_of_the_kit_has_a_case() -> None:
    codes = {case.code for case in CASES.values()}
    assert {f"KIT01{n:02}" for n in range(1, 19)} <= codes


@pytest.mark.parametrize(
    ("paths", "said"),
    [
        ("[/admin]", "/admin/, /ADMIN or //admin pass"),
        ("[/admin, /admin/*]", "/ADMIN or //admin pass"),
        ("[/admin, /admin/*, /ADMIN]", "//admin passes"),
    ],
)
def test_only_spellings_that_no_path_of_the_rule_takes_are_said_to_pass(
    paths: str, said: str
) -> None:
    text = authz(f"action: DENY\nrules:\n- to:\n  - operation:\n      paths: {paths}")
    first = find(text, "KIT0113")[0]
    assert first.message.endswith(f"letter by letter: {said}")
    assert ("/admin/*" in first.hint) == ("/admin/," in said)


def test_the_list_of_forwarded_headers_is_the_applications() -> None:
    from mesh.istio.analyze.matches import FORWARDED

    assert {*propagation.TRACING, *propagation.USER} <= FORWARDED


def test_many_resources_are_all_analysed() -> None:
    parts = []
    for number in range(250):
        name = f"s{number}"
        parts += [
            vs(f"- route: [{{destination: {{host: {name}, subset: v1}}}}]", name),
            dr("subsets:\n- {name: v1, labels: {version: v1}}", name).replace(
                "name: r", f"name: {name}"
            ),
            authz("rules: [{}]").replace("name: p", f"name: {name}"),
            vs(f"- route: [{{destination: {{host: {name}, subset: v2}}}}]", f"x{number}"),
        ]
    loaded = load_text("---\n".join(parts), era=era("istio-current"))
    assert len(loaded.resources) == 1000
    found = analyze(loaded.resources, era("istio-current"))
    assert [each.code for each in found] == ["IST0101"] * 250


def test_the_figure_of_the_bench_is_taken_of_a_clean_configuration() -> None:
    from mesh.bench.analysis import measure

    assert set(measure(8)) == {"load", "validate", "analyze"}
