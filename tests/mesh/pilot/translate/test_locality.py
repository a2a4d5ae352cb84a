from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from envoy_data_plane.envoy.config.cluster.v3 import Cluster
from envoy_data_plane.envoy.config.endpoint.v3 import ClusterLoadAssignment
from hypothesis import given
from hypothesis import strategies as st

from mesh.istio.eras import ISTIO_1_0
from mesh.istio.models.destination_rule import LoadBalancerSettings, OutlierDetection
from mesh.pilot.node import ProxyNode
from mesh.pilot.registry import Endpoint, Registry
from mesh.pilot.translate import CDS, EDS, translate
from mesh.pilot.translate.locality import distance, groups, within
from mesh.pilot.translate.traffic_policy import Policy
from mesh.pilot.translate.view import MeshView

Make = Callable[..., MeshView]
HERE = "eu/a/1"
PLACES = ["eu/a/1", "eu/a/2", "eu/b/1", "us/a/1", "asia/a/1"]


def ends(places: list[str] = PLACES) -> list[Endpoint]:
    return [
        Endpoint("127.0.0.1", n + 1, f"p{n}", {"v": str(n % 2)}, p) for n, p in enumerate(places)
    ]


def found(
    spec: dict[str, Any] | None, outliers: bool = True, caller: str = HERE, **more: Any
) -> list[tuple[str, int, int | None]]:
    view = MeshView(Registry(), client="tutorial", locality=caller, **more)
    setting = None
    if spec is not None:
        setting = LoadBalancerSettings.model_validate({"localityLbSetting": spec})
    policy = Policy(setting, None, OutlierDetection() if outliers else None)
    return [(e.place, e.priority, e.weight) for e in groups(view, policy, ends())]


def priorities(*arguments: Any, **more: Any) -> list[int]:
    return [priority for _, priority, _ in found(*arguments, **more)]


def test_the_nearest_place_goes_first_when_failures_can_be_seen() -> None:
    assert priorities(None) == [0, 1, 2, 3, 3]
    assert priorities({}) == [0, 1, 2, 3, 3]
    assert priorities(None, outliers=False) == [0] * 5
    assert priorities({"enabled": False}) == [0] * 5
    assert priorities(None, caller="us/b/9") == [1, 1, 1, 0, 1]
    assert priorities(None, era=ISTIO_1_0) == [0] * 5


def test_another_region_takes_over() -> None:
    assert priorities({"failover": [{"from": "eu", "to": "us"}]}) == [0, 1, 2, 3, 4]
    assert priorities({"failover": [{"from": "asia", "to": "us"}]}) == [0, 1, 2, 3, 3]
    spec = {"failover": [{"from": "eu", "to": "asia"}]}
    assert priorities(spec) == [0, 1, 2, 4, 3]
    assert [weight for _, _, weight in found(spec)] == [1] * 5


def test_shares_for_each_place() -> None:
    spec = {"distribute": [{"from": "eu/a/*", "to": {"eu/a/*": 80, "us/*": 20}}]}
    assert found(spec, outliers=False) == [
        ("eu/a/1", 0, 40),
        ("eu/a/2", 0, 40),
        ("us/a/1", 0, 20),
    ]
    assert [weight for _, _, weight in found(spec, caller="us/a/1")] == [1] * 5


def test_labels_in_common() -> None:
    spec = {"failoverPriority": ["topology.kubernetes.io/region", "v"]}
    more = {"labels": {"v": "1"}}
    assert found(spec, **more) == [
        ("eu/a/1", 1, 1),
        ("eu/a/2", 0, 1),
        ("eu/b/1", 1, 1),
        ("us/a/1", 2, 1),
        ("asia/a/1", 2, 1),
    ]
    fixed = {"failoverPriority": ["v=0"]}
    assert priorities(fixed, **more) == [0, 1, 0, 1, 0]
    assert priorities(fixed, outliers=False, **more) == [0] * 5
    both = {**fixed, "failover": [{"from": "eu", "to": "us"}]}
    assert priorities(both, **more) == [0, 3, 1, 4, 2]


@pytest.mark.parametrize(
    ("place", "rule", "expected"),
    [
        ("eu/a/1", "eu/a/1", True),
        ("eu/a/1", "eu/a/*", True),
        ("eu/a/1", "eu/*", True),
        ("eu/a/1", "eu", True),
        ("eu/a/1", "*", True),
        ("eu/a/1", "us/*", False),
        ("eu/a/1", "eu/b", False),
        ("eu/a/1", "eu/*/2", False),
        ("", "*", True),
    ],
)
def test_within(place: str, rule: str, expected: bool) -> None:
    assert within(place, rule) is expected


def test_distance() -> None:
    assert [distance(HERE, each) for each in PLACES] == [0, 1, 2, 3, 3]
    assert distance("", "") == 0


SPECS = st.sampled_from(
    [
        None,
        {"failover": [{"from": "eu", "to": "us"}]},
        {"failoverPriority": ["topology.kubernetes.io/zone", "v"]},
        {"distribute": [{"from": "*", "to": {"eu/*": 60, "us/*": 30, "asia/*": 10}}]},
    ]
)


@given(SPECS, st.lists(st.sampled_from([*PLACES, ""]), max_size=6), st.sampled_from([*PLACES, ""]))
def test_priorities_have_no_gap_and_nobody_is_lost(
    spec: dict[str, Any] | None, places: list[str], caller: str
) -> None:
    view = MeshView(Registry(), client="tutorial", locality=caller)
    setting = LoadBalancerSettings.model_validate({"localityLbSetting": spec}) if spec else None
    made = groups(view, Policy(setting, None, OutlierDetection()), ends(places))
    ranks = {each.priority for each in made}
    assert ranks == set(range(len(ranks)))
    pods = [member.pod for each in made for member in each.members]
    assert len(pods) == len(set(pods))
    if spec is None or "distribute" not in spec:
        assert len(pods) == len(places)


RULE = (
    "DestinationRule",
    "recommendation",
    "  host: recommendation\n  trafficPolicy:\n    outlierDetection: {interval: 1s}\n"
    "    loadBalancer:\n      localityLbSetting:\n        failover: [{from: eu, to: us}]\n",
)
CLUSTER = "outbound|8080||recommendation.tutorial.svc.cluster.local"


def test_callers_of_other_places_get_other_endpoints(
    view: Make, registry: Registry, node: ProxyNode
) -> None:
    for number, place in ((1, "eu/a/1"), (2, "us/a/1")):
        pod = registry.pods["tutorial", f"recommendation-v{number}-0"]
        registry.add_pod(replace(pod, locality=place))
    made = view(RULE)
    for caller, expected in (("eu/b/1", {"eu": 0, "us": 1}), ("us/a/1", {"eu": 1, "us": 0})):
        snapshot = translate(made, replace(node, locality=caller))
        assignment, cluster = snapshot[EDS][CLUSTER], snapshot[CDS][CLUSTER]
        assert isinstance(assignment, ClusterLoadAssignment) and isinstance(cluster, Cluster)
        ranks = {e.locality.region: e.priority for e in assignment.endpoints if e.locality}
        assert ranks == expected
        assert cluster.common_lb_config is not None
        assert cluster.common_lb_config.locality_weighted_lb_config is not None
        assert cluster.common_lb_config.healthy_panic_threshold is not None
