"""Ring hash, maglev and hash policies: the same key reaches the same pod as with Envoy."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from envoy_data_plane.envoy.config.cluster.v3 import Cluster
from envoy_data_plane.envoy.config.route.v3 import RouteConfiguration

from mesh.sidecar.filters.routing import RequestHead, RouteTable
from mesh.sidecar.upstream.balancers import Context, make_balancer
from mesh.sidecar.upstream.hash_policy import Peer, compile_hash_policy
from mesh.sidecar.upstream.host import hosts_from

pytestmark = pytest.mark.envoy

BY_HEADER = [{"header": {"header_name": "x-key"}}]


def hashed(policies: list[dict[str, Any]]) -> dict[str, Any]:
    route = {"match": {"prefix": "/"}, "route": {"cluster": "up", "hash_policy": policies}}
    return {"name": "r", "virtual_hosts": [{"name": "v", "domains": ["*"], "routes": [route]}]}


def pods(ports: list[int], weights: list[int], keyed: bool = True) -> dict[str, Any]:
    endpoints = []
    for number, (port, weight) in enumerate(zip(ports, weights, strict=True)):
        address = {"socket_address": {"address": "127.0.0.1", "port_value": port}}
        entry: dict[str, Any] = {
            "endpoint": {"address": address},
            "load_balancing_weight": weight,
        }
        if keyed:
            name = f"recommendation-v1-{number}"
            entry["metadata"] = {"filter_metadata": {"envoy.lb": {"hash_key": name, "pod": name}}}
        endpoints.append(entry)
    return {"cluster_name": "up", "endpoints": [{"lb_endpoints": endpoints}]}


CLUSTERS: dict[str, tuple[dict[str, Any], list[int], bool]] = {
    "ring": ({"lb_policy": "RING_HASH"}, [1, 1, 1], True),
    "ring-address": ({"lb_policy": "RING_HASH"}, [1, 1, 1], False),
    "ring-weights": ({"lb_policy": "RING_HASH"}, [1, 2, 5], True),
    "ring-small": (
        {
            "lb_policy": "RING_HASH",
            "ring_hash_lb_config": {"minimum_ring_size": 4, "maximum_ring_size": 7},
        },
        [1, 3, 1],
        True,
    ),
    "maglev": ({"lb_policy": "MAGLEV"}, [1, 1, 1], True),
    "maglev-address": ({"lb_policy": "MAGLEV"}, [1, 1, 1], False),
    "maglev-weights": ({"lb_policy": "MAGLEV"}, [1, 2, 5], True),
    "maglev-small": (
        {"lb_policy": "MAGLEV", "maglev_lb_config": {"table_size": 11}},
        [3, 1, 2],
        True,
    ),
}


@pytest.mark.parametrize("name", CLUSTERS)
def test_the_same_key_reaches_the_same_pod(
    name: str, judge: Callable[..., Any], backend: Callable[[], Any]
) -> None:
    policy, weights, keyed = CLUSTERS[name]
    ports = [backend().port for _ in weights]
    config = {"name": "up", "type": "STATIC", **policy}
    config["load_assignment"] = pods(ports, weights, keyed)
    envoy = judge(hashed(BY_HEADER), [config])
    cluster = Cluster.from_dict(config)
    assert cluster.load_assignment is not None
    hosts = hosts_from(cluster.load_assignment)
    balancer = make_balancer(cluster)
    balancer.update(hosts)
    rules = compile_hash_policy(route_policies(BY_HEADER))
    rng = random.Random(1)
    ours, theirs = [], []
    for number in range(120):
        headers = [("x-key", f"user-{number}")]
        value = rules.generate(RequestHead("GET", "http", "a", "/", headers), Peer()).value
        host = balancer.choose(hosts, Context(hash=value), rng, lambda: 0.0)
        assert host is not None
        ours.append(host.port)
        theirs.append(envoy.request(headers=headers).json()["port"])
    assert ours == theirs
    assert len(Counter(ours)) >= 2


def route_policies(policies: list[dict[str, Any]]) -> Any:
    route = RouteTable.compile(RouteConfiguration.from_dict(hashed(policies))).match(
        RequestHead("GET", "http", "a", "/"), random.Random(1)
    )
    assert route is not None
    return route.hash_policies


REWRITE = {"pattern": {"regex": "^(\\w+)-.*$"}, "substitution": "\\1"}
POLICIES: dict[str, list[dict[str, Any]]] = {
    "query": [{"query_parameter": {"name": "k"}}],
    "cookie": [{"cookie": {"name": "c"}}],
    "source": [{"connection_properties": {"source_ip": True}}],
    "pseudo": [{"header": {"header_name": ":path"}}],
    "rewritten": [{"header": {"header_name": "x-key", "regex_rewrite": REWRITE}}],
    "two": [{"header": {"header_name": "x-key"}}, {"query_parameter": {"name": "k"}}],
    "twice": [{"header": {"header_name": "x-key"}}, {"header": {"header_name": "x-key"}}],
    "terminal": [
        {"header": {"header_name": "x-key"}, "terminal": True},
        {"query_parameter": {"name": "k"}},
    ],
}


@pytest.mark.parametrize("name", POLICIES)
def test_hash_policies(name: str, judge: Callable[..., Any], backend: Callable[[], Any]) -> None:
    ports = [backend().port for _ in range(3)]
    config = {"name": "up", "type": "STATIC", "lb_policy": "MAGLEV"}
    config["load_assignment"] = pods(ports, [1, 1, 1])
    envoy = judge(hashed(POLICIES[name]), [config])
    cluster = Cluster.from_dict(config)
    assert cluster.load_assignment is not None
    hosts = hosts_from(cluster.load_assignment)
    balancer = make_balancer(cluster)
    balancer.update(hosts)
    rules = compile_hash_policy(route_policies(POLICIES[name]))
    different = []
    for number in range(40):
        path = f"/?k=q{number}"
        keys = [("x-key", f"u{number}-x"), ("x-key", f"a{number}-y")][: 1 + number % 2]
        headers = [*keys, ("cookie", f"b=1; c=v{number}")]
        head = RequestHead("GET", "http", "a", path, headers)
        value = rules.generate(head, Peer(address="127.0.0.1")).value
        assert value is not None
        host = balancer.choose(hosts, Context(hash=value), random.Random(1), lambda: 0.0)
        assert host is not None
        theirs = envoy.request(path, headers=headers).json()["port"]
        if host.port != theirs:
            different.append(number)
    assert different == []


def test_a_cookie_is_made_for_a_client_without_one(
    judge: Callable[..., Any], backend: Callable[[], Any]
) -> None:
    policies = [{"cookie": {"name": "user", "path": "/p", "ttl": "60s"}}]
    session = [{"cookie": {"name": "user", "ttl": "0s", "attributes": [{"name": "Secure"}]}}]
    for policy in (policies, session):
        ports = [backend().port for _ in range(3)]
        config = {"name": "up", "type": "STATIC", "lb_policy": "MAGLEV"}
        config["load_assignment"] = pods(ports, [1, 1, 1])
        envoy = judge(hashed(policy), [config])
        answer = envoy.request()
        theirs = answer.header("set-cookie")
        assert theirs is not None
        value = theirs.split('"')[1]
        rules = compile_hash_policy(route_policies(policy))
        head = RequestHead("GET", "http", "a", "/")
        made = rules.generate(head, Peer("127.0.0.1", "127.0.0.1:1", "127.0.0.1:2"))
        mine = made.set_cookies[0].split('"')
        assert theirs == f'{mine[0]}"{value}"{mine[2]}'
        assert len(mine[1]) == len(value) == 16
        # The request that got the cookie already went where the cookie leads.
        again = envoy.request(headers=[("cookie", f'user="{value}"')])
        assert again.json()["port"] == answer.json()["port"]
        assert again.header("set-cookie") is None
