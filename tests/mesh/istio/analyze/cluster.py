"""Objects of a cluster, written in one line each, for the cases where several of them meet."""

from __future__ import annotations

import base64
from dataclasses import dataclass

from tests.mesh.istio.analyze.test_kubernetes_and_gateways import doc, net, service

AUTHZ = "security.istio.io/v1"
POD = "{containers: [{name: app}]}"


def pod(name: str, labels: str, more: str = "", namespace: str = "") -> str:
    return doc("v1", "Pod", name, POD, f", labels: {{{labels}}}{more}", namespace)


def policy(name: str, spec: str, namespace: str = "") -> str:
    return doc(AUTHZ, "AuthorizationPolicy", name, spec, namespace=namespace)


def space(name: str, labels: str = "istio-injection: enabled") -> str:
    return doc("v1", "Namespace", name, "", f", labels: {{{labels}}}")


def sidecar(name: str, labels: str, more: str = "") -> str:
    return net("Sidecar", name, f"{{workloadSelector: {{labels: {{{labels}}}}}{more}}}")


def route(name: str, destination: str, more: str = "", namespace: str = "") -> str:
    spec = f"{{hosts: [{name}], http: [{{route: [{{destination: {destination}}}]}}]{more}}}"
    return net("VirtualService", name, spec, namespace)


def rules(field: str, *matches: str) -> str:
    host = "www.example"
    to = "route: [{destination: {host: a, port: {number: 443}}}]"
    listed = ", ".join(f"{{match: [{each}], {to}}}" for each in matches)
    return net("VirtualService", "a", f"{{hosts: [{host}], {field}: [{listed}]}}")


def tls_gateway(name: str, credential: str, labels: str = "istio: ingressgateway") -> str:
    server = (
        "{port: {number: 443, name: https, protocol: HTTPS}, hosts: ['a.example'], "
        f"tls: {{mode: SIMPLE, credentialName: {credential}}}}}"
    )
    return net("Gateway", name, f"{{selector: {{{labels}}}, servers: [{server}]}}")


def secret(name: str, text: str, namespace: str = "istio-system") -> str:
    data = base64.b64encode(text.encode()).decode()
    body = f"data: {{tls.crt: {data}, tls.key: {data}}}\n"
    return doc("v1", "Secret", name, "", namespace=namespace) + body


def patch(operation: str, apply_to: str, more: str = "", match: str = "") -> str:
    one = (
        f"{{applyTo: {apply_to}, match: {{context: SIDECAR_INBOUND{match}}}, "
        f"patch: {{operation: {operation}, value: {{name: x}}}}}}"
    )
    spec = f"{{configPatches: [{one}]{more}}}"
    return doc("networking.istio.io/v1alpha3", "EnvoyFilter", "f", spec)


def mesh_config(text: str) -> str:
    head = doc("v1", "ConfigMap", "istio", "", namespace="istio-system")
    return f"{head}data:\n  mesh: |\n" + "".join(f"    {line}\n" for line in text.split("\n"))


def deployment(spec: str, labels: str = "app: a", namespace: str = "") -> str:
    body = (
        f"{{selector: {{matchLabels: {{app: a}}}}, template: {{metadata: {{labels: {{{labels}}}}}, "
        f"spec: {spec}}}}}"
    )
    return doc("apps/v1", "Deployment", "a", body, namespace=namespace)


@dataclass(frozen=True)
class Case:
    """What must be found, the word in its text, how often, and the same put right."""

    code: str
    bad: str
    word: str
    good: str
    times: int = 1


GATE = pod("gate", "istio: ingressgateway, app: g", namespace="istio-system")
SLEEPER = pod("sleep-1", "app: sleep", ", annotations: {ambient.istio.io/redirection: enabled}")
SHOP = service("shop", "{name: http, port: 80}")
OWN_SHOP = SHOP.replace(
    "{name: shop}", "{name: shop, annotations: {networking.istio.io/exportTo: .}}"
)
TRACED = doc("telemetry.istio.io/v1", "Telemetry", "t", "{tracing: [{providers: [{name: light}]}]}")
LIGHT = "extensionProviders:\n- name: light\n  %s: {service: s, port: 1}"
LOGGED = doc("telemetry.istio.io/v1", "Telemetry", "t", "{accessLogging: [{%s}]}")
K8S_GATEWAY = doc(
    "gateway.networking.k8s.io/v1",
    "Gateway",
    "gate",
    "{gatewayClassName: istio, listeners: [{name: a, port: 80, protocol: HTTP, hostname: a.example}]}",
)
SELF_SIGNED = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
