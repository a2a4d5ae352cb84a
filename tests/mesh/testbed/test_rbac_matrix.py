"""The lecture's RBAC on a running mesh: every principal x method x path, computed and then asked for."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from mesh.testbed.load_topology import load_topology
from mesh.testbed.local import LocalTestbed

TOPOLOGY = {
    "gateway": False,
    "services": {
        "products": {"app": "scripted"},
        "client": None,
        "other": None,
        "foreign": {"namespace": "elsewhere"},
    },
}
RULES = """
apiVersion: authentication.istio.io/v1alpha1
kind: Policy
metadata: {name: default, namespace: tutorial}
spec: {peers: [{mtls: {}}]}
---
apiVersion: networking.istio.io/v1alpha3
kind: DestinationRule
metadata: {name: default, namespace: tutorial}
spec:
  host: "*.tutorial.svc.cluster.local"
  trafficPolicy: {tls: {mode: ISTIO_MUTUAL}}
---
apiVersion: rbac.istio.io/v1alpha1
kind: ClusterRbacConfig
metadata: {name: default}
spec: {mode: 'ON'}
---
apiVersion: rbac.istio.io/v1alpha1
kind: ServiceRole
metadata: {name: products-viewer, namespace: tutorial}
spec:
  rules:
    - services: [products.tutorial.svc.cluster.local]
      methods: [GET, HEAD]
---
apiVersion: rbac.istio.io/v1alpha1
kind: ServiceRole
metadata: {name: reviewer, namespace: tutorial}
spec:
  rules:
    - services: ["products*"]
      methods: ["*"]
      paths: [/reviews, "/reviews/*", "*.html"]
---
apiVersion: rbac.istio.io/v1alpha1
kind: ServiceRoleBinding
metadata: {name: viewers, namespace: tutorial}
spec:
  subjects:
    - user: cluster.local/ns/tutorial/sa/client
    - properties: {source.namespace: elsewhere}
  roleRef: {kind: ServiceRole, name: products-viewer}
---
apiVersion: rbac.istio.io/v1alpha1
kind: ServiceRoleBinding
metadata: {name: reviewers, namespace: tutorial}
spec:
  subjects: [{user: cluster.local/ns/tutorial/sa/other}, {user: cluster.local/ns/elsewhere/sa/foreign}]
  roleRef: {kind: ServiceRole, name: reviewer}
"""
CALLERS = {"client": {"viewer"}, "other": {"reviewer"}, "foreign": {"viewer", "reviewer"}}
METHODS = ["GET", "HEAD", "POST", "DELETE"]
PATHS = ["/", "/reviews", "/reviews/1", "/reviewsx", "/a/b.html", "/a.html?x=1", "/b.htm"]


def granted(roles: set[str], method: str, path: str) -> bool:
    """The rules in words."""
    bare = path.partition("?")[0]
    reviews = bare == "/reviews" or bare.startswith("/reviews/") or bare.endswith(".html")
    return ("viewer" in roles and method in ("GET", "HEAD")) or ("reviewer" in roles and reviews)


@pytest.fixture(
    scope="module", params=["mitmproxy", pytest.param("envoy", marks=pytest.mark.envoy)]
)
def bed(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[LocalTestbed]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MESH_LAB_HOME", str(tmp_path_factory.mktemp("h").resolve() / "m"))
        topology = load_topology(TOPOLOGY)
        with LocalTestbed(topology, engine=request.param, era="istio-1.0") as running:
            running.apply([("rbac.yaml", RULES)])
            yield running


def test_traffic_agrees_with_the_policy(bed: LocalTestbed) -> None:
    url = "http://products.tutorial:8080"

    def ask(case: tuple[str, str, str]) -> int:
        caller, method, path = case
        return bed.request(url + path, from_pod=caller, method=method).status

    cases = list(itertools.product(CALLERS, METHODS, PATHS))
    with ThreadPoolExecutor(8) as pool:
        got = dict(zip(cases, pool.map(ask, cases), strict=True))
    wanted = {case: 200 if granted(CALLERS[case[0]], *case[1:]) else 403 for case in cases}
    assert got == wanted
    assert {200, 403} == set(got.values())
