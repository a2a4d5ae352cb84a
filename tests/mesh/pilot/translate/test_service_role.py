"""Roles, bindings and the config of Istio 1.0: every caller, method and path against the rules."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import replace
from typing import Any, cast

import pytest

from mesh.istio import has_errors, load_text
from mesh.istio.eras import ISTIO_1_0
from mesh.pilot.node import ProxyNode
from mesh.pilot.translate import service_role
from mesh.pilot.translate.view import MeshView
from mesh.sidecar.filters.rbac import Engine
from mesh.sidecar.filters.rbac_facts import RequestFacts
from mesh.sidecar.filters.routing import RequestHead

MakeView = Callable[..., MeshView]
CONFIG = """
apiVersion: rbac.istio.io/v1alpha1
kind: ClusterRbacConfig
metadata: {name: default}
spec: {mode: %s}
---
"""
ROLES = """
apiVersion: rbac.istio.io/v1alpha1
kind: ServiceRole
metadata: {name: viewer, namespace: tutorial}
spec:
  rules:
    - services: [customer.tutorial.svc.cluster.local]
      methods: [GET, HEAD]
      constraints: [{key: version, values: [v1, v2]}]
    - services: ["customer*"]
      methods: ["*"]
      paths: [/orders, "/carts/*", "*.html"]
      constraints: [{key: "request.headers[x-ok]", values: ["yes"]}]
---
apiVersion: rbac.istio.io/v1alpha1
kind: ServiceRole
metadata: {name: other, namespace: tutorial}
spec: {rules: [{services: [elsewhere.tutorial.svc.cluster.local], methods: ["*"]}]}
---
apiVersion: rbac.istio.io/v1alpha1
kind: ServiceRoleBinding
metadata: {name: viewers, namespace: tutorial}
spec:
  subjects:
    - user: cluster.local/ns/tutorial/sa/alice
    - properties: {service: recommendation.tutorial.svc.cluster.local, namespace: tutorial}
    - group: staff
  roleRef: {kind: ServiceRole, name: viewer}
---
apiVersion: rbac.istio.io/v1alpha1
kind: ServiceRoleBinding
metadata: {name: everybody, namespace: tutorial}
spec:
  subjects: [{user: "*"}]
  roleRef: {kind: ServiceRole, name: other}
"""


def resources(text: str) -> tuple[Any, ...]:
    loaded = load_text(text, "r.yaml", era=ISTIO_1_0, namespace="tutorial")
    assert not has_errors(loaded.problems), loaded.problems
    return tuple(loaded.resources)


def filters(view: MakeView, node: ProxyNode, text: str) -> list[Any]:
    made = replace(view(era=ISTIO_1_0), resources=resources(text))
    return [cast(Any, message) for _, message in service_role.filters(made, node)]


CALLERS = {
    "alice": "spiffe://cluster.local/ns/tutorial/sa/alice",
    "recommendation": "spiffe://cluster.local/ns/tutorial/sa/recommendation",
    "bob": "spiffe://cluster.local/ns/tutorial/sa/bob",
    "alice of another namespace": "spiffe://cluster.local/ns/other/sa/alice",
    "nobody": "",
    "staff": "",
}
PATHS = ["/", "/orders", "/orders/1", "/carts/1", "/x.html", "/x.html?y"]


def granted(caller: str, method: str, path: str, ok: str) -> bool:
    """The rules in words: written down from the policy, not from its translation."""
    if caller not in ("alice", "recommendation", "staff"):
        return False
    bare = path.partition("?")[0]
    listed = bare == "/orders" or bare.startswith("/carts/") or bare.endswith(".html")
    return method in ("GET", "HEAD") or (listed and ok == "yes")


def test_every_caller_method_and_path(view: MakeView, node: ProxyNode) -> None:
    (made,) = filters(view, node, CONFIG % "'ON'" + ROLES)
    engine = Engine(made.rules)
    wrong = []
    for caller, method, path, ok in itertools.product(
        CALLERS, ["GET", "HEAD", "POST", "DELETE"], PATHS, ["yes", "no", ""]
    ):
        headers = [("x-ok", ok)] if ok else []
        name = CALLERS[caller]
        claims = {"groups": ["day", "staff"]} if caller == "staff" else {"groups": "night"}
        facts = RequestFacts(
            RequestHead(method, "http", "customer", path, headers),
            encrypted=bool(name),
            names=(name,) if name else (),
            metadata={"envoy.filters.http.jwt_authn": {"payload": claims}},
        )
        if engine.decide(facts).allowed is not granted(caller, method, path, ok):
            wrong.append((caller, method, path, ok))
    assert wrong == []


OTHERS = "{services: [recommendation.tutorial.svc.cluster.local]}"
MODES = [
    ("'OFF'", False),
    ("'ON'", True),
    (f"ON_WITH_INCLUSION, inclusion: {OTHERS}", False),
    ("ON_WITH_INCLUSION, inclusion: {namespaces: [tutorial]}", True),
    (f"ON_WITH_EXCLUSION, exclusion: {OTHERS}", True),
    ("ON_WITH_EXCLUSION, exclusion: {namespaces: [tutorial]}", False),
]


@pytest.mark.parametrize(("mode", "on"), MODES)
def test_where_it_is_on(mode: str, on: bool, view: MakeView, node: ProxyNode) -> None:
    assert bool(filters(view, node, CONFIG % mode + ROLES)) is on


def test_without_a_role_everything_is_refused(view: MakeView, node: ProxyNode) -> None:
    (made,) = filters(view, node, (CONFIG % "'ON'").rpartition("---")[0])
    facts = RequestFacts(RequestHead("GET", "http", "a", "/", []))
    assert not Engine(made.rules).decide(facts).allowed


def test_everybody_includes_those_without_a_certificate(view: MakeView, node: ProxyNode) -> None:
    text = ROLES.replace("elsewhere.tutorial", "customer.tutorial")
    (made,) = filters(view, node, CONFIG % "'ON'" + text)
    facts = RequestFacts(RequestHead("DELETE", "http", "a", "/", []))
    assert Engine(made.rules).decide(facts).policy == "other"


def test_permissive_only_counts(view: MakeView, node: ProxyNode) -> None:
    (made,) = filters(view, node, CONFIG % "'ON', enforcement_mode: PERMISSIVE" + ROLES)
    assert made.rules is None
    assert "viewer" in made.shadow_rules.policies


def test_another_version_is_not_covered(view: MakeView, node: ProxyNode) -> None:
    other = replace(node, labels={**node.labels, "version": "v3"})
    (made,) = filters(view, other, CONFIG % "'ON'" + ROLES)
    assert len(made.rules.policies["viewer"].permissions) == 1
