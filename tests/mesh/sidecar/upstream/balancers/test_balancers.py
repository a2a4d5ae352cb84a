"""Shares, retries and warm-up of the balancers; maps and loads are judged by Envoy."""

from __future__ import annotations

import random
from collections import Counter
from typing import Any

import pytest
from envoy_data_plane.envoy.config.cluster.v3 import Cluster
from envoy_data_plane.envoy.config.endpoint.v3 import ClusterLoadAssignment
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom

from mesh.sidecar.upstream.balancers import Balancer, Context, make_balancer
from mesh.sidecar.upstream.balancers.base import Settings, priority_loads
from mesh.sidecar.upstream.host import DEGRADED, HEALTHY, UNHEALTHY, Host, hosts_from

POLICIES = ["ROUND_ROBIN", "RANDOM", "LEAST_REQUEST", "RING_HASH", "MAGLEV"]


def balancer(policy: str, **more: Any) -> Balancer:
    return make_balancer(Cluster.from_dict({"name": "c", "lb_policy": policy, **more}))


def hosts(*weights: int) -> list[Host]:
    return [Host("10.0.0.1", 80 + n, pod=f"p{n}", weight=w) for n, w in enumerate(weights)]


def counts(made: Balancer, among: list[Host], number: int, seed: int = 1) -> Counter[str]:
    rng = random.Random(seed)
    found: Counter[str] = Counter()
    for _ in range(number):
        host = made.choose(among, Context(), rng, lambda: 0.0)
        assert host is not None
        found[host.pod] += 1
    return found


def within(count: int, total: int, share: float) -> bool:
    low, high = binom.interval(1 - 1e-6, total, share)
    return bool(low <= count <= high)


@pytest.mark.parametrize("policy", POLICIES)
def test_nobody_and_the_only_one(policy: str) -> None:
    made = balancer(policy)
    rng = random.Random(1)
    assert made.choose([], Context(), rng, lambda: 0.0) is None
    only = hosts(1)
    # A retry in a cluster of one host goes to that host.
    context = Context(avoid=only, attempts=5)
    assert made.choose(only, context, rng, lambda: 0.0) is only[0]


@pytest.mark.parametrize("policy", POLICIES)
def test_an_ejected_host_gets_nothing_without_panic(policy: str) -> None:
    none = {"healthy_panic_threshold": {"value": 0}}
    made = balancer(policy, common_lb_config=none)
    all_hosts = hosts(1, 1, 1)
    all_hosts[1].ejected = True
    assert set(counts(made, all_hosts, 200)) == {"p0", "p2"}
    for host in all_hosts:
        host.ejected = True
    assert made.choose(all_hosts, Context(), random.Random(1), lambda: 0.0) is None


@pytest.mark.parametrize("policy", ["ROUND_ROBIN", "LEAST_REQUEST"])
def test_round_robin_and_weights_are_exact(policy: str) -> None:
    assert counts(balancer(policy), hosts(3, 1), 400) == {"p0": 300, "p1": 100}
    if policy == "ROUND_ROBIN":
        assert set(counts(balancer(policy), hosts(1, 1, 1), 300).values()) == {100}


@pytest.mark.parametrize("policy", ["RANDOM", "LEAST_REQUEST"])
def test_drawn_hosts_are_equally_likely(policy: str) -> None:
    found = counts(balancer(policy), hosts(1, 1, 1, 1), 4000)
    assert all(within(found[f"p{n}"], 4000, 0.25) for n in range(4))


def test_random_ignores_weights() -> None:
    found = counts(balancer("RANDOM"), hosts(9, 1), 4000)
    assert within(found["p1"], 4000, 0.5)


@pytest.mark.parametrize("choices", [2, 3])
def test_least_request_takes_the_idler_of_its_choices(choices: int) -> None:
    made = balancer("LEAST_REQUEST", least_request_lb_config={"choice_count": choices})
    all_hosts = hosts(1, 1, 1, 1)
    all_hosts[0].active_requests = 5
    found = counts(made, all_hosts, 4000)
    # The busy one is taken only when it is drawn each time.
    assert within(found["p0"], 4000, 0.25**choices)


def test_least_request_with_weights_divides_by_the_load() -> None:
    all_hosts = hosts(2, 1)
    all_hosts[0].active_requests = 3
    assert counts(balancer("LEAST_REQUEST"), all_hosts, 300) == {"p0": 100, "p1": 200}


@pytest.mark.parametrize("policy", POLICIES)
def test_a_retry_avoids_the_host_that_failed(policy: str) -> None:
    made = balancer(policy)
    all_hosts = hosts(1, 1)
    rng = random.Random(2)
    same = 0
    for number in range(500):
        key = rng.getrandbits(64) if number % 2 else None
        context = Context(hash=key, avoid=[all_hosts[0]], attempts=6)
        same += made.choose(all_hosts, context, rng, lambda: 0.0) is all_hosts[0]
    assert same <= 500 * 0.5**6 + 25


def test_a_key_stays_while_other_hosts_leave() -> None:
    for policy in ("RING_HASH", "MAGLEV"):
        made = balancer(policy)
        all_hosts = hosts(1, 1, 1, 1)
        fewer = all_hosts[:3]
        rng = random.Random(1)
        moved = 0
        for number in range(400):
            context = Context(hash=number * 0x9E3779B97F4A7C15 % 2**64)
            before = made.choose(all_hosts, context, rng, lambda: 0.0)
            after = made.choose(fewer, context, rng, lambda: 0.0)
            if before is not all_hosts[3]:
                moved += before is not after
        assert moved < 60  # of some 300; the ring is built again with other numbers of points


def test_tables_that_envoy_refuses() -> None:
    with pytest.raises(ValueError, match="prime number"):
        balancer("MAGLEV", maglev_lb_config={"table_size": 10})
    sizes = {"minimum_ring_size": 5, "maximum_ring_size": 4}
    with pytest.raises(ValueError, match=r"minimum_ring_size \(5\) > maximum_ring_size \(4\)"):
        balancer("RING_HASH", ring_hash_lb_config=sizes)


def test_a_new_host_warms_up() -> None:
    warm = {"slow_start_config": {"slow_start_window": "100s"}}
    made = balancer("ROUND_ROBIN", round_robin_lb_config=warm)
    all_hosts = hosts(10, 10)
    all_hosts[1].added_at = 0.0
    shares = []
    for now in (0.0, 50.0, 100.0):
        made.update(all_hosts)
        rng = random.Random(1)
        found = Counter(
            host.pod
            for _ in range(1100)
            if (host := made.choose(all_hosts, Context(), rng, lambda now=now: now))
        )
        shares.append(found["p1"] / found["p0"])
    assert [round(share, 2) for share in shares] == [0.1, 0.5, 1.0]


def test_localities_share_by_weight_and_health() -> None:
    weighted = {"locality_weighted_lb_config": {}, "healthy_panic_threshold": {"value": 0}}
    made = balancer("RANDOM", common_lb_config=weighted)
    near = [Host("n", n, pod="near", locality=("r", "a", ""), locality_weight=3) for n in range(4)]
    far = [Host("f", n, pod="far", locality=("r", "b", ""), locality_weight=1) for n in range(4)]
    assert within(counts(made, near + far, 4000)["near"], 4000, 0.75)
    for host in near[1:]:
        host.ejected = True
    # A quarter of the near hosts is well: weight 3 x 1.4 x 0.25 = 1.05 against 1.
    assert within(counts(made, near + far, 4000)["near"], 4000, 1.05 / 2.05)


HEALTH = st.sampled_from([HEALTHY, UNHEALTHY, DEGRADED])


@given(st.lists(st.tuples(st.integers(0, 2), HEALTH), min_size=1, max_size=12), st.booleans())
def test_loads_sum_to_100(given_hosts: list[tuple[int, str]], panic: bool) -> None:
    all_hosts = [Host("a", 1, priority=priority, health=health) for priority, health in given_hosts]
    loads, degraded, panics = priority_loads(all_hosts, Settings(50.0 if panic else 0.0))
    assert sum(loads) + sum(degraded) == 100
    assert panic or not any(panics)


def test_hosts_from_an_assignment() -> None:
    socket_address = {"address": "10.0.0.1", "port_value": 80}
    config = {
        "cluster_name": "c",
        "endpoints": [
            {
                "priority": 1,
                "load_balancing_weight": 7,
                "locality": {"region": "r", "zone": "z"},
                "lb_endpoints": [
                    {
                        "endpoint": {"address": {"socket_address": socket_address}},
                        "health_status": "DRAINING",
                        "load_balancing_weight": 3,
                        "metadata": {
                            "filter_metadata": {"envoy.lb": {"hash_key": "p", "pod": "p"}}
                        },
                    },
                    {"endpoint": {"address": {"pipe": {"path": "/tmp/app.sock"}}}},
                ],
            }
        ],
    }
    first, second = hosts_from(ClusterLoadAssignment.from_dict(config))
    assert (first.key, first.pod, first.hash_key, first.weight) == ("10.0.0.1:80", "p", "p", 3)
    assert (first.priority, first.locality, first.locality_weight) == (1, ("r", "z", ""), 7)
    assert not first.available
    assert (second.key, second.available) == ("/tmp/app.sock", True)
    bad = {"cluster_name": "c", "endpoints": [{"lb_endpoints": [{"endpoint": {}}]}]}
    with pytest.raises(ValueError, match="an endpoint of c has no address"):
        hosts_from(ClusterLoadAssignment.from_dict(bad))
