"""Configurations as the analyzers' tests write them, and the mesh that they are about."""

from __future__ import annotations

from dataclasses import dataclass

from mesh.istio import era, has_errors, load_text
from mesh.istio.analyze import analyze
from mesh.istio.problem import Problem
from mesh.topology import Port, Service, Topology, Workload

MESH = Topology(
    (
        Service("customer", workloads=(Workload("customer-v1", "customer"),)),
        Service("preference", workloads=(Workload("preference-v1", "preference"),)),
        Service(
            "recommendation",
            workloads=(
                Workload("recommendation-v1", "recommendation"),
                Workload("recommendation-v2", "recommendation", version="v2"),
            ),
        ),
        Service("shop", ports=(Port(8080, "http"), Port(9090, "http-admin"))),
    )
)
SUBSETS = """\
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: recommendation}
spec:
  host: recommendation
  subsets:
    - {name: version-v1, labels: {version: v1}}
    - {name: version-v2, labels: {version: v2}}
"""


def vs(http: str, name: str = "recommendation", more: str = "") -> str:
    lines = "".join(f"    {line}\n" for line in http.strip("\n").split("\n"))
    head = f"apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {{name: {name}}}\n"
    return f"{head}spec:\n  hosts: [{name}]\n{more}  http:\n{lines}"


def dr(rest: str, host: str = "recommendation") -> str:
    lines = "".join(f"  {line}\n" for line in rest.strip("\n").split("\n"))
    head = "apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {name: r}\n"
    return f"{head}spec:\n  host: {host}\n{lines}"


def authz(rest: str, kind: str = "AuthorizationPolicy") -> str:
    lines = "".join(f"  {line}\n" for line in rest.strip("\n").split("\n"))
    head = f"apiVersion: security.istio.io/v1beta1\nkind: {kind}\nmetadata: {{name: p}}\n"
    return f"{head}spec:\n{lines}"


def find(text: str, code: str, era_name: str = "istio-current") -> list[Problem]:
    the_era = era(era_name)
    loaded = load_text(text, "f.yaml", era=the_era, namespace="tutorial")
    assert not has_errors(loaded.problems), [str(each) for each in loaded.problems]
    return [each for each in analyze(loaded.resources, the_era, MESH) if each.code == code]


PROVIDERS = """\
apiVersion: v1
kind: ConfigMap
metadata: {name: istio, namespace: istio-system}
data:
  mesh: |
    extensionProviders:
    - name: sample
      envoyExtAuthzHttp: {service: shop.tutorial.svc.cluster.local, port: 8080}
"""


@dataclass(frozen=True)
class Case:
    """What must be found at a line, and the same put right."""

    code: str
    bad: str
    line: int
    word: str
    good: str
    era: str = "istio-current"


def api(spec: str, kind: str = "HTTPRoute", name: str = "r") -> str:
    lines = "".join(f"  {line}\n" for line in spec.strip("\n").split("\n"))
    head = (
        f"---\napiVersion: gateway.networking.k8s.io/v1\nkind: {kind}\nmetadata: {{name: {name}}}\n"
    )
    return f"{head}spec:\n{lines}"


ROUTE = "- route: [{destination: {host: recommendation}}]"
CANARY = vs(
    "- route:\n  - destination: {host: recommendation, subset: version-v1}\n    weight: 90\n"
    "  - destination: {host: recommendation, subset: version-v2}\n    weight: 10"
)
SHOP = api(
    "gatewayClassName: istio\nlisteners:\n- {name: http, port: 80, protocol: HTTP, hostname: '*.shop'}",
    "Gateway",
    "shop",
)
AT_SHOP = "parentRefs:\n- name: shop\n"
AT_SERVICE = "parentRefs:\n- {group: '', kind: Service, name: recommendation}\n"
STRICT = "---\n" + authz("mtls: {mode: STRICT}", "PeerAuthentication")
OUT = "trafficPolicy:\n  outlierDetection:\n    consecutive5xxErrors: 1\n"
