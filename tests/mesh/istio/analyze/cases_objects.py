"""Single objects: labels, annotations, certificates, patches, providers."""

from __future__ import annotations

from tests.mesh.istio.analyze.cluster import (
    GATE,
    LIGHT,
    LOGGED,
    SELF_SIGNED,
    TRACED,
    Case,
    deployment,
    mesh_config,
    patch,
    pod,
    policy,
    secret,
    space,
    tls_gateway,
)
from tests.mesh.istio.analyze.test_kubernetes_and_gateways import doc

OBJECTS = {
    "a certificate that cannot be read": Case(
        "IST0161",
        GATE + secret("shop", SELF_SIGNED) + tls_gateway("g", "shop"),
        "referenced by the Gateway g in namespace istio-system is invalid",
        GATE + secret("other", SELF_SIGNED) + tls_gateway("g", "shop"),
    ),
    "one certificate of two gateways": Case(
        "IST0138",
        tls_gateway("g", "shop") + tls_gateway("h", "shop", "istio: ingressgateway, app: g"),
        "[tutorial/g tutorial/h]",
        tls_gateway("g", "shop") + tls_gateway("h", "other"),
    ),
    "an ExternalName whose port says nothing": Case(
        "IST0150",
        doc(
            "v1",
            "Service",
            "s",
            "{type: ExternalName, externalName: x.example, ports: [{name: tcp, port: 443}]}",
        ),
        "Port name for ExternalName service is invalid",
        doc(
            "v1",
            "Service",
            "s",
            "{type: ExternalName, externalName: x.example, ports: [{name: tls, port: 443}]}",
        ),
    ),
    "an annotation with a wrong value": Case(
        "IST0125",
        pod("a", "app: a", ", annotations: {traffic.sidecar.istio.io/excludeInboundPorts: '80,x'}"),
        "excludeInboundPorts invalid: failed parsing port 'x'",
        pod(
            "a", "app: a", ", annotations: {traffic.sidecar.istio.io/excludeInboundPorts: '80,81'}"
        ),
    ),
    "a namespace that says two things": Case(
        "IST0123",
        space("shop", "istio-injection: enabled, istio.io/rev: canary"),
        "[istio-injection=enabled istio.io/rev=canary]",
        space("shop", "istio-injection: disabled, istio.io/rev: canary"),
    ),
    "a namespace that is injected by default": Case(
        "IST0148",
        doc("v1", "Namespace", "shop", "")
        + doc("v1", "ConfigMap", "istio-sidecar-injector", "", namespace="istio-system")
        + 'data: {values: \'{"sidecarInjectorWebhook": {"enableNamespacesByDefault": true}}\'}\n',
        "is enabled for Istio injection",
        doc("v1", "Namespace", "shop", ""),
    ),
    "a pod that runs as the sidecar": Case(
        "IST0144",
        deployment("{containers: [{name: c, securityContext: {runAsUser: 1337}}]}"),
        "User ID (UID) 1337",
        deployment("{securityContext: {runAsUser: 1338}, containers: [{name: c}]}"),
    ),
    "an image that nobody gives": Case(
        "IST0146",
        space("tutorial", "istio-injection: disabled")
        + deployment("{containers: [{name: istio-proxy, image: auto}]}"),
        "Deployment a contains `image: auto`",
        space("tutorial", "istio-injection: disabled")
        + deployment(
            "{containers: [{name: istio-proxy, image: auto}]}", "sidecar.istio.io/inject: 'true'"
        ),
    ),
    "a pod that was started without its image": Case(
        "IST0147",
        doc("v1", "Pod", "a", "{containers: [{name: istio-proxy, image: auto}]}"),
        "Pod a contains `image: auto`",
        doc("v1", "Pod", "a", "{containers: [{name: istio-proxy, image: proxyv2}]}"),
    ),
    "an operation that depends on the order": Case(
        "IST0151",
        patch("INSERT_AFTER", "HTTP_FILTER"),
        "does not have a priority and has a relative patch operation set",
        patch("INSERT_AFTER", "HTTP_FILTER", ", priority: 10"),
    ),
    "a filter of another name": Case(
        "IST0151",
        patch(
            "INSERT_BEFORE",
            "HTTP_FILTER",
            match=", listener: {filterChain: {filter: {name: "
            "envoy.filters.network.http_connection_manager, subFilter: {name: mine}}}}",
        ),
        "relative patch operation",
        patch(
            "INSERT_BEFORE",
            "HTTP_FILTER",
            match=", listener: {filterChain: {filter: {name: "
            "envoy.filters.network.http_connection_manager, "
            "subFilter: {name: envoy.filters.http.router}}}}",
        ),
    ),
    "REPLACE of a cluster": Case(
        "IST0152", patch("REPLACE", "CLUSTER"), "only valid for", patch("MERGE", "CLUSTER")
    ),
    "ADD of a route": Case(
        "IST0153", patch("ADD", "HTTP_ROUTE"), "ADD operation will be", patch("ADD", "CLUSTER")
    ),
    "REMOVE of a route": Case(
        "IST0154", patch("REMOVE", "HTTP_ROUTE"), "REMOVE operation", patch("MERGE", "HTTP_ROUTE")
    ),
    "an operation that depends on the release": Case(
        "IST0155",
        patch("INSERT_AFTER", "HTTP_FILTER", match=", proxy: {proxyVersion: '^1.*'}")
        + patch("INSERT_AFTER", "HTTP_FILTER"),
        "proxyVersion set which can cause",
        patch("INSERT_AFTER", "HTTP_FILTER"),
    ),
    "an access log that goes nowhere": Case(
        "IST0157",
        mesh_config("{}") + LOGGED % "filter: {expression: 'true'}",
        'The Telemetry t in namespace "tutorial"',
        mesh_config("defaultProviders: {accessLogging: [envoy]}")
        + LOGGED % "match: {mode: SERVER}",
    ),
    "a policy that selects a gateway's pods": Case(
        "IST0166",
        pod("g-1", "'gateway.networking.k8s.io/gateway-name': g")
        + policy("p", "{selector: {matchLabels: {'gateway.networking.k8s.io/gateway-name': g}}}"),
        "Ineffective selector on Kubernetes Gateway g",
        pod("g-1", "'gateway.networking.k8s.io/gateway-name': g, app: a")
        + policy("p", "{targetRefs: [{kind: Gateway, name: g}]}"),
    ),
    "a Lightstep": Case(
        "IST0002",
        mesh_config(LIGHT % "lightstep") + TRACED,
        "provider light is deprecated",
        mesh_config(LIGHT % "opentelemetry") + TRACED,
    ),
}
