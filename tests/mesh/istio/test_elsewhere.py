"""Kinds that only a cluster serves: accepted with a remark; a pod's owner counts as a Deployment does."""

import pytest

from mesh.istio import Level, load_text
from mesh.istio.elsewhere import CLUSTER_SCOPED, ELSEWHERE, kinds
from mesh.istio.eras import ISTIO_1_28
from mesh.istio.kinds import find_kind, kinds_named
from mesh.istio.validate import validate
from mesh.kubernetes.importing import import_objects

SAMPLES = [
    (f"{group}/{versions[-1]}" if group else versions[-1], name)
    for group, (versions, names) in ELSEWHERE.items()
    for name in names.split()
]


@pytest.mark.parametrize(("api", "kind"), SAMPLES)
def test_it_loads_and_has_no_effect(api: str, kind: str) -> None:
    text = f"apiVersion: {api}\nkind: {kind}\nmetadata: {{name: a}}\nspec: {{b: [c]}}\n"
    loaded = load_text(text, "a.yaml", era=ISTIO_1_28)
    assert loaded.problems == []
    (found,) = validate(list(loaded.resources), ISTIO_1_28)
    assert (found.level, found.message) == (
        Level.INFO,
        f"{kind}: accepted, no effect in this kit",
    )


def test_none_of_them_is_read_elsewhere_in_the_kit() -> None:
    assert kinds() >= CLUSTER_SCOPED
    for api, name in SAMPLES:
        kind = find_kind(api, name)
        assert kind is not None and not kind.read, (api, name)
    assert all(kind.read for kind in kinds_named("Gateway"))


def test_a_wrong_version_is_named_with_the_right_ones() -> None:
    text = "apiVersion: networking.k8s.io/v7\nkind: Ingress\nmetadata: {name: a}\n"
    (problem,) = load_text(text, "a.yaml", era=ISTIO_1_28).problems
    assert "networking.k8s.io/v1" in problem.expected


@pytest.mark.parametrize(
    ("name", "problems"), [("a:b", 0), ("system:Node", 0), ("a/b", 1), ("..", 1)]
)
def test_the_name_of_a_role_is_part_of_a_path(name: str, problems: int) -> None:
    text = (
        "apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRole\n"
        f"metadata: {{name: '{name}'}}\n"
    )
    assert len(load_text(text, "a.yaml", era=ISTIO_1_28).problems) == problems


def test_a_stateful_set_brings_pods() -> None:
    text = """\
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: db}
spec:
  replicas: 3
  template: {metadata: {labels: {app: db, version: v2}}}
---
apiVersion: v1
kind: Service
metadata: {name: db}
spec: {selector: {app: db}, ports: [{name: tcp, port: 5432}]}
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: front}
"""
    loaded = load_text(text, "a.yaml", era=ISTIO_1_28)
    made = import_objects(loaded.resources)
    (workload,) = made.topology["services"]["db"]["workloads"]
    assert (workload["name"], workload["version"], workload["replicas"]) == ("db", "v2", 3)
    assert made.config == ""
