"""Analyzers about Kubernetes objects, gateways and entries: a bad and a good file for each code."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from mesh.istio import era, has_errors, load_text
from mesh.istio.analyze import analyze
from mesh.istio.problem import Problem


def doc(api: str, kind: str, name: str, spec: str, meta: str = "", namespace: str = "") -> str:
    space = f", namespace: {namespace}" if namespace else ""
    body = f"spec: {spec}\n" if spec else ""
    return f"---\napiVersion: {api}\nkind: {kind}\nmetadata: {{name: {name}{space}{meta}}}\n{body}"


def net(kind: str, name: str, spec: str, namespace: str = "") -> str:
    return doc("networking.istio.io/v1", kind, name, spec, namespace=namespace)


def gateway(name: str, host: str, port: int = 80) -> str:
    server = f"{{port: {{number: {port}, name: http, protocol: HTTP}}, hosts: ['{host}']}}"
    return net("Gateway", name, f"{{selector: {{istio: ingressgateway}}, servers: [{server}]}}")


def service(name: str, ports: str) -> str:
    return doc("v1", "Service", name, f"{{selector: {{app: a}}, ports: [{ports}]}}")


def entry(name: str, protocol: str, more: str = "") -> str:
    port = f"{{number: 443, name: p, protocol: {protocol}}}"
    spec = f"{{hosts: [api.example.com], ports: [{port}], resolution: DNS{more}}}"
    return net("ServiceEntry", name, spec)


DEPLOYMENT = doc(
    "apps/v1",
    "Deployment",
    "a",
    "{selector: {matchLabels: {app: a}}, template: {metadata: {labels: {app: a}}, "
    "spec: {containers: [{name: c}]}}}",
)
POD = "{containers: [{name: app}]}"
PROXIED = "{containers: [{name: app}, {name: istio-proxy}]}"
INJECTED = doc("v1", "Namespace", "shop", "", ", labels: {istio-injection: enabled}")
SPLIT = net(
    "VirtualService",
    "reviews",
    "{hosts: [reviews], http: [{route: [{destination: {host: reviews, subset: v1}}]}]}",
) + net(
    "DestinationRule",
    "reviews",
    "{host: reviews, subsets: [{name: v1, labels: {version: v1}}]}",
)


def at_gateway(destination: str) -> str:
    return gateway("gate", "shop.example") + net(
        "VirtualService",
        "outside",
        "{hosts: [shop.example], gateways: [gate], http: [{route: [{destination: "
        + destination
        + "}]}]}",
    )


CLAIM = gateway("gate", "shop.example") + net(
    "VirtualService",
    "by-group",
    "{hosts: [shop.example], gateways: [gate], http: [{match: [{headers: "
    "{'@request.auth.claims.group': {exact: admin}}}], route: [{destination: {host: a}}]}]}",
)


def reader(namespace: str) -> str:
    return doc(
        "security.istio.io/v1",
        "RequestAuthentication",
        "r",
        "{selector: {matchLabels: {istio: ingressgateway}}, jwtRules: [{issuer: me, jwks: '{}'}]}",
        namespace=namespace,
    )


def strict(namespace: str = "") -> str:
    return doc(
        "security.istio.io/v1",
        "PeerAuthentication",
        "default",
        "{mtls: {mode: STRICT}}",
        "",
        namespace,
    )


def tls(mode: str, host: str = "a") -> str:
    return net(
        "DestinationRule", "a", f"{{host: {host}, trafficPolicy: {{tls: {{mode: {mode}}}}}}}"
    )


def telemetry(name: str, selector: str = "") -> str:
    spec = f"{{{selector}accessLogging: [{{disabled: true}}]}}"
    return doc("telemetry.istio.io/v1", "Telemetry", name, spec)


@dataclass(frozen=True)
class Case:
    """What must be found, the word in its text, and the same put right."""

    code: str
    bad: str
    word: str
    good: str
    era: str = "istio-current"


def delay(share: str) -> str:
    return net(
        "VirtualService",
        "a",
        f"{{hosts: [a], http: [{{fault: {{delay: {{fixedDelay: 7s, {share}}}}}, "
        "route: [{destination: {host: a}}]}]}",
    )


NOTE = ", annotations: {'sidecar.istio.io/%s': 'x'}"
GATE_POD = doc("v1", "Pod", "gate-1", PROXIED, ", labels: {istio: ingressgateway, app: a}")
CASES = {
    "percent": Case(
        "IST0002", delay("percent: 50"), "delay.percentage", delay("percentage: {value: 50}")
    ),
    "percent in its time": Case(
        "IST0002", delay("percent: 5"), "percent", delay("percentage: {value: 5}"), "istio-1.9"
    ),
    "namespace": Case(
        "IST0102", doc("v1", "Namespace", "shop", ""), "label namespace shop", INJECTED
    ),
    "pod without a proxy": Case(
        "IST0103",
        INJECTED + doc("v1", "Pod", "a-1", POD, namespace="shop"),
        "The pod shop/a-1 is missing",
        INJECTED + doc("v1", "Pod", "a-1", PROXIED, namespace="shop"),
    ),
    "pod that wants none": Case(
        "IST0103",
        INJECTED + doc("v1", "Pod", "b-1", POD, namespace="shop"),
        "b-1",
        INJECTED
        + doc("v1", "Pod", "b-1", POD, ", labels: {sidecar.istio.io/inject: 'false'}", "shop"),
    ),
    "misplaced annotation": Case(
        "IST0107",
        doc("v1", "Service", "a", "{ports: [{name: http, port: 80}]}", NOTE % "proxyCPU"),
        "can only be applied to Pod",
        doc("v1", "Pod", "a", POD, NOTE % "proxyCPU"),
    ),
    "unknown annotation": Case(
        "IST0108",
        doc("v1", "Pod", "a", POD, NOTE % "proxyCpu"),
        "sidecar.istio.io/proxyCpu",
        doc("v1", "Pod", "a", POD, ", annotations: {'example.com/note': x}"),
    ),
    "a client in plain text": Case(
        "IST0113", strict() + tls("DISABLE"), "specifies STRICT", strict() + tls("ISTIO_MUTUAL")
    ),
    "a client in plain text, by the mesh's policy": Case(
        "IST0113", strict("istio-system") + tls("DISABLE"), "istio-system/default", tls("DISABLE")
    ),
    "two protocols": Case(
        "IST0116",
        DEPLOYMENT
        + service("a", "{name: tcp, port: 53, protocol: TCP}")
        + service("b", "{name: udp, port: 53, protocol: UDP}"),
        "port 53 but different protocols: [tutorial/a tutorial/b]",
        DEPLOYMENT + service("a", "{name: tcp, port: 53}") + service("b", "{name: tcp, port: 53}"),
    ),
    "the deprecated annotation": Case(
        "IST0135",
        doc("v1", "Pod", "a", POD, NOTE % "inject"),
        'in favor of the "sidecar.istio.io/inject" label',
        doc("v1", "Pod", "a", POD, NOTE % "proxyCPU"),
    ),
    "two ports for one target": Case(
        "IST0137",
        DEPLOYMENT
        + service("a", "{name: http, port: 80, targetPort: 8080}")
        + service("b", "{name: http, port: 8080}"),
        'targetPort "8080" but different ports: [80 8080]',
        DEPLOYMENT
        + service("a", "{name: http, port: 8080}")
        + service("b", "{name: http, port: 8080, targetPort: 8080}"),
    ),
    "a split that the gateway passes by": Case(
        "IST0140",
        SPLIT + at_gateway("{host: reviews}"),
        "Subset in virtual service tutorial/reviews has no effect on ingress gateway tutorial/outside",
        SPLIT + at_gateway("{host: reviews, subset: v1}"),
    ),
    "two gateways for one host": Case(
        "IST0145",
        gateway("a", "*.example") + gateway("b", "*.example"),
        "Conflict with gateways tutorial/b (workload selector istio=ingressgateway, port 80",
        gateway("a", "*.example") + gateway("b", "shop.example") + gateway("c", "*.example", 81),
    ),
    "claims that nobody reads": Case(
        "IST0149",
        CLAIM + reader("elsewhere"),
        "@request.auth.claims.group",
        CLAIM + reader("istio-system"),
    ),
    "two telemetries for the same pods": Case(
        "IST0159",
        telemetry("a", "selector: {matchLabels: {app: a}}, ")
        + telemetry("b", "selector: {matchLabels: {app: a}}, "),
        "app=a",
        telemetry("a", "selector: {matchLabels: {app: a}}, ") + telemetry("b"),
    ),
    "two telemetries for all": Case(
        "IST0160", telemetry("a") + telemetry("b"), "no workload selector", telemetry("a")
    ),
    "a port the gateway's Service lacks": Case(
        "IST0162",
        GATE_POD + service("gate", "{name: http, port: 80}") + gateway("g", "*", 8443),
        "target port (port 8443)",
        GATE_POD + service("gate", "{name: http, port: 8443}") + gateway("g", "*", 8443),
    ),
    "two protocols outside": Case(
        "IST0177",
        entry("a", "HTTP") + entry("b", "TLS"),
        'the same host "api.example.com" and port 443 with conflicting protocols (HTTP, TLS)',
        entry("a", "TLS") + entry("b", "TLS"),
    ),
    "two protocols that nobody sees together": Case(
        "IST0177",
        entry("a", "HTTP") + entry("b", "TLS", ", exportTo: ['.']"),
        "tutorial/a, tutorial/b",
        entry("a", "HTTP", ", exportTo: [x]") + entry("b", "TLS", ", exportTo: ['.']"),
    ),
}


def find(case: Case, text: str) -> list[Problem]:
    the_era = era(case.era)
    if case.era != "istio-current":
        text = text.replace("networking.istio.io/v1\n", "networking.istio.io/v1beta1\n")
    loaded = load_text(text, "f.yaml", era=the_era, namespace="tutorial")
    assert not has_errors(loaded.problems), [str(each) for each in loaded.problems]
    return [each for each in analyze(loaded.resources, the_era) if each.code == case.code]


@pytest.mark.parametrize("case", [pytest.param(case, id=name) for name, case in CASES.items()])
def test_found_with_its_line_and_a_hint(case: Case) -> None:
    found = find(case, case.bad)
    assert found, "nothing found"
    assert any(case.word in each.message for each in found), str(found[0])
    for each in found:
        assert each.position.line > 1
        assert each.hint
        assert each.path


@pytest.mark.parametrize("case", [pytest.param(case, id=name) for name, case in CASES.items()])
def test_the_right_configuration_is_left_alone(case: Case) -> None:
    assert find(case, case.good) == []


def test_the_nearest_annotation_is_named() -> None:
    case = CASES["unknown annotation"]
    assert find(case, case.bad)[0].nearest == "sidecar.istio.io/proxyCPU"


def test_a_field_is_not_called_old_before_its_successor_came() -> None:
    case = Case("IST0002", "", "", "", "istio-1.0")
    text = delay("percent: 50").replace("/v1\n", "/v1alpha3\n")
    assert find(case, text) == []


@pytest.mark.parametrize(
    ("api", "kind", "successor"),
    [
        ("authentication.istio.io/v1alpha1", "Policy", "PeerAuthentication"),
        ("rbac.istio.io/v1alpha1", "ServiceRole", "AuthorizationPolicy"),
    ],
)
def test_a_kind_that_went_names_its_successor(api: str, kind: str, successor: str) -> None:
    loaded = load_text(doc(api, kind, "x", "{}"), era=era("istio-1.9"))
    (problem,) = loaded.problems
    assert problem.code == "KIT0006"
    assert f"write {successor} instead" in problem.hint
