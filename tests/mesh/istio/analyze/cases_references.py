"""Names and selectors: what they refer to, and who else does."""

from __future__ import annotations

from tests.mesh.istio.analyze.cluster import (
    GATE,
    K8S_GATEWAY,
    OWN_SHOP,
    SHOP,
    SLEEPER,
    Case,
    pod,
    policy,
    route,
    rules,
    secret,
    sidecar,
    space,
    tls_gateway,
)
from tests.mesh.istio.analyze.test_kubernetes_and_gateways import doc, gateway, net

REFERENCES = {
    "a policy about a namespace that is not there": Case(
        "IST0101",
        space("shop") + policy("p", "{rules: [{from: [{source: {namespaces: [shoop, 'x-*']}}]}]}"),
        'namespace not found: "',
        space("shop")
        + policy("p", "{rules: [{from: [{source: {namespaces: ['sh*'], notNamespaces: ['*']}}]}]}"),
        2,
    ),
    "a Sidecar for nobody": Case(
        "IST0101",
        pod("a", "app: a") + sidecar("s", "app: b"),
        'selector not found: "app=b"',
        pod("a", "app: a") + sidecar("s", "app: a"),
    ),
    "a Telemetry for pods of another namespace": Case(
        "IST0101",
        pod("a", "app: a", namespace="shop")
        + doc("telemetry.istio.io/v1", "Telemetry", "t", "{selector: {matchLabels: {app: a}}}"),
        'selector not found: "app=a"',
        doc("telemetry.istio.io/v1", "Telemetry", "t", "{selector: {matchLabels: {app: a}}}"),
    ),
    "a Gateway that no pod reads": Case(
        "IST0101",
        GATE + gateway("g", "*").replace("ingressgateway", "ingresgateway"),
        'selector not found: "istio=ingresgateway"',
        pod("a", "app: a") + gateway("g", "*"),
    ),
    "a port that the service lacks": Case(
        "IST0101",
        SHOP + route("a", "{host: shop, port: {number: 8080}}"),
        'host:port not found: "shop:8080"',
        SHOP + route("a", "{host: shop, port: {number: 80}}"),
    ),
    "a service that is exported to its own namespace": Case(
        "IST0101",
        OWN_SHOP + route("a", "{host: shop.tutorial.svc.cluster.local}", namespace="other"),
        'host not found: "shop.tutorial.svc.cluster.local"',
        OWN_SHOP + route("a", "{host: shop}"),
    ),
    "a rule for a namespace that does not see the service": Case(
        "IST0101",
        OWN_SHOP + route("a", "{host: shop}", ", exportTo: [other]"),
        'host not found: "shop"',
        OWN_SHOP + route("a", "{host: shop}", ", exportTo: ['.']"),
    ),
    "an outside host that another namespace keeps": Case(
        "IST0101",
        SHOP
        + net("ServiceEntry", "e", "{hosts: [a.example], exportTo: ['.']}", "other")
        + route("a", "{host: a.example}"),
        'host not found: "a.example"',
        SHOP
        + net("ServiceEntry", "e", "{hosts: ['*.example'], exportTo: [tutorial]}", "other")
        + route("a", "{host: a.example}"),
    ),
    "a certificate that is not there": Case(
        "IST0101",
        GATE + secret("shop", "x") + tls_gateway("g", "shoop"),
        'credentialName not found: "shoop"',
        GATE + secret("shop", "x") + tls_gateway("g", "shop"),
    ),
    "two gateways of one pod": Case(
        "IST0145",
        GATE
        + gateway("a", "a.example")
        + gateway("b", "a.example").replace("{istio:", "{app: g, istio:"),
        "Conflict with gateways tutorial/",
        gateway("a", "a.example") + gateway("b", "a.example").replace("{istio:", "{app: g, istio:"),
        2,
    ),
    "two Sidecars of one pod": Case(
        "IST0110",
        pod("r-1", "app: a, tier: b") + sidecar("s", "app: a") + sidecar("t", "tier: b"),
        'select the same workload pod "r-1"',
        pod("r-1", "app: a")
        + pod("r-2", "tier: b")
        + sidecar("s", "app: a")
        + sidecar("t", "tier: b"),
        2,
    ),
    "a Sidecar in ambient mode": Case(
        "IST0167",
        SLEEPER + sidecar("s", "app: sleep"),
        "selected workload is in ambient mode",
        SLEEPER + pod("a", "app: a") + sidecar("s", "app: a"),
    ),
    "a Sidecar for a namespace in ambient mode": Case(
        "IST0167",
        space("tutorial", "istio.io/dataplane-mode: ambient") + net("Sidecar", "s", "{}"),
        "namespace is in ambient mode",
        space("tutorial", "istio.io/dataplane-mode: ambient, istio-injection: enabled")
        + net("Sidecar", "s", "{}"),
    ),
    "a policy of the root namespace": Case(
        "IST0127",
        pod("a", "app: a") + policy("p", "{selector: {matchLabels: {app: b}}}", "istio-system"),
        "app=b",
        pod("a", "app: a") + policy("p", "{selector: {matchLabels: {app: a}}}", "istio-system"),
    ),
    "a policy for pods without a sidecar": Case(
        "IST0127",
        space("tutorial", "istio-injection: disabled")
        + pod("a", "app: a")
        + policy("p", "{selector: {matchLabels: {app: a}}}"),
        "app=a",
        space("tutorial") + pod("a", "app: a") + policy("p", "{selector: {matchLabels: {app: a}}}"),
    ),
    "a policy for an empty namespace": Case(
        "IST0127",
        pod("a", "app: a", namespace="shop") + policy("p", "{rules: [{}]}"),
        "No matching workloads",
        policy("p", "{rules: [{}]}"),
    ),
    "two rules of the mesh, one of them exported": Case(
        "IST0109",
        route("a.example", "{host: a}")
        + route("a.example", "{host: a}", ", exportTo: ['.']", "other"),
        "define the same host a.example",
        route("a.example", "{host: a}", ", exportTo: ['.']")
        + route("a.example", "{host: a}", ", exportTo: ['.']", "other"),
        2,
    ),
    "a host that the Kubernetes gateway does not open": Case(
        "IST0132",
        K8S_GATEWAY + route("b.example", "{host: a}", ", gateways: [gate]"),
        "one or more host [b.example]",
        K8S_GATEWAY + route("a.example", "{host: a}", ", gateways: [gate]"),
    ),
    "a gateway that opens to another namespace": Case(
        "IST0132",
        gateway("gate", "x/*") + route("b.example", "{host: a}", ", gateways: [gate]"),
        "not found in Gateway tutorial/gate",
        gateway("gate", "./*") + route("b.example", "{host: a}", ", gateways: [gate]"),
    ),
    "a gateway that Istio made": Case(
        "IST0165",
        route("a", "{host: a}", ", gateways: ['x/gate~istio-autogenerated-k8s-gateway~http']"),
        "internal Gateway: x/gate~",
        route("a", "{host: a}", ", gateways: [x/gate]"),
    ),
    "the same TCP match twice": Case(
        "IST0130",
        rules("tcp", "{port: 443}", "{port: 443}"),
        "rule #1 not used (all matches used by prior rules)",
        rules("tcp", "{port: 443}", "{port: 444}"),
    ),
    "one of two TLS matches": Case(
        "IST0131",
        rules(
            "tls",
            "{sniHosts: [www.example]}",
            "{sniHosts: [www.example]}, {port: 8443, sniHosts: [www.example]}",
        ),
        "rule #1 match #0 is not used (duplicate/overlapping match in rule #0)",
        rules("tls", "{sniHosts: [www.example]}", "{port: 8443, sniHosts: [www.example]}"),
    ),
    "a prefix that begins with another": Case(
        "IST0131",
        rules("http", "{uri: {prefix: /a}}", "{uri: {prefix: /ab}, method: {exact: GET}}"),
        "match #0 of prefix /ab is not used (duplicate/overlapping match in rule #0 of prefix /a",
        rules("http", "{uri: {prefix: /a}, method: {exact: GET}}", "{uri: {prefix: /ab}}"),
    ),
}
