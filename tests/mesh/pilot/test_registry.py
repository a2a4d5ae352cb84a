from __future__ import annotations

from mesh.pilot.registry import Registry

HOST = "recommendation.tutorial.svc.cluster.local"


def test_endpoints_are_the_pods_of_the_service_by_name(registry: Registry) -> None:
    assert [each.pod for each in registry.endpoints(HOST, 8080)] == [
        "recommendation-v1-0",
        "recommendation-v2-0",
    ]


def test_a_subset_keeps_the_pods_with_all_its_labels(registry: Registry) -> None:
    assert [each.port for each in registry.endpoints(HOST, 8080, {"version": "v2"})] == [1003]
    assert registry.endpoints(HOST, 8080, {"version": "v9"}) == ()


def test_unknown_service_and_port_have_no_endpoints(registry: Registry) -> None:
    assert registry.endpoints("nowhere.tutorial.svc.cluster.local", 8080) == ()
    assert registry.endpoints(HOST, 9090) == ()


def test_a_removed_pod_is_gone(registry: Registry) -> None:
    assert registry.remove_pod("recommendation-v1-0", "tutorial")
    assert not registry.remove_pod("recommendation-v1-0", "tutorial")
    assert [each.pod for each in registry.endpoints(HOST, 8080)] == ["recommendation-v2-0"]
