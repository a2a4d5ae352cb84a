"""A small mesh: customer, and recommendation in two versions; documents become resources by loading."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from mesh.istio import Era, Resource, has_errors, load_text
from mesh.istio.eras import ISTIO_1_28
from mesh.istio.kinds import kinds_named
from mesh.pilot.node import ProxyNode
from mesh.pilot.registry import Registry
from mesh.pilot.translate.view import MeshView
from mesh.topology import Pod, Service

HEADER = "apiVersion: {api}\nkind: {kind}\nmetadata: {{name: {name}}}\nspec:\n{spec}"


def pod(name: str, service: str, version: str, port: int) -> Pod:
    labels = {"app": service, "version": version}
    return Pod(name, "tutorial", service, name, labels, service, "127.0.0.1", {8080: port})


@pytest.fixture
def registry() -> Registry:
    found = Registry()
    for name in ("customer", "recommendation"):
        found.add_service(Service(name))
    found.add_pod(pod("customer-v1-0", "customer", "v1", 1001))
    found.add_pod(pod("recommendation-v1-0", "recommendation", "v1", 1002))
    found.add_pod(pod("recommendation-v2-0", "recommendation", "v2", 1003))
    return found


@pytest.fixture
def node() -> ProxyNode:
    return ProxyNode(
        "customer-v1-0",
        "tutorial",
        labels={"app": "customer", "version": "v1"},
        inbound_ports={8080: 1001},
        outbound_port=1101,
        app_socket="/run/app.sock",
        access_log="/run/access.jsonl",
        services=("customer.tutorial.svc.cluster.local",),
    )


@pytest.fixture
def gateway() -> ProxyNode:
    return ProxyNode(
        "gw-0", "tutorial", "router", {"istio": "ingressgateway"}, gateway_ports={80: 1200}
    )


@pytest.fixture
def view(registry: Registry) -> Callable[..., MeshView]:
    def make(*documents: tuple[str, str, str], era: Era = ISTIO_1_28, **more: object) -> MeshView:
        """``documents``: (kind, name, indented text of the spec)."""
        resources: list[Resource] = []
        for kind, name, spec in documents:
            api = next(each for each in kinds_named(kind) if each.known_in(era)).api_version(era)
            text = HEADER.format(api=api, kind=kind, name=name, spec=spec)
            loaded = load_text(text, f"{name}.yaml", era=era, namespace="tutorial")
            assert not has_errors(loaded.problems), loaded.problems
            resources += loaded.resources
        return MeshView(registry, tuple(resources), era, **more)  # type: ignore[arg-type]

    return make
