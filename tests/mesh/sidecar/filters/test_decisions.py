"""The decisions of the other filters: what the real Envoy cannot be asked, and exact shares."""

from __future__ import annotations

import random
from typing import Any

import pytest
from envoy_data_plane.envoy.config.route.v3 import (
    RouteActionRequestMirrorPolicy,
    RouteConfiguration,
)
from envoy_data_plane.envoy.extensions.filters.http.fault.v3 import HttpFault
from scipy.stats import binom

from mesh.sidecar.filters import direct_response, fault, mirror
from mesh.sidecar.filters.routing import CompiledRoute, RequestHead, RouteTable
from mesh.sidecar.filters.substitution_format import FormatContext, compile_format
from mesh.sidecar.filters.weighted_clusters import choose

GET = RequestHead("GET", "http", "a", "/")


def within(count: int, total: int, share: float) -> bool:
    """Whether ``count`` lies where all but one in a million of seeds would put it."""
    low, high = binom.interval(1 - 1e-6, total, share)
    return bool(low <= count <= high)


def route_of(action: dict[str, Any]) -> CompiledRoute:
    routes = [{"match": {"prefix": "/"}, "route": action}]
    host = {"name": "v", "domains": ["*"], "routes": routes}
    config = RouteConfiguration.from_dict({"name": "r", "virtual_hosts": [host]})
    route = RouteTable.compile(config).match(GET, random.Random(1))
    assert route is not None
    return route


@pytest.mark.parametrize("weights", [[1, 1], [90, 10], [1, 2, 7], [0, 5], [3], [1, 999]])
def test_shares_of_weighted_clusters(weights: list[int]) -> None:
    clusters = [{"name": f"c{n}", "weight": weight} for n, weight in enumerate(weights)]
    route = route_of({"weighted_clusters": {"clusters": clusters}})
    rng = random.Random(11)
    choices = [choose(route, rng) for _ in range(4000)]
    total = sum(weights)
    for number, weight in enumerate(weights):
        count = sum(choice.cluster == f"c{number}" for choice in choices)
        assert within(count, 4000, weight / total)
    assert all(choice.total == total and 0 <= choice.draw < total for choice in choices)


def test_a_single_cluster_is_not_drawn() -> None:
    rng = random.Random(1)
    state = rng.getstate()
    assert choose(route_of({"cluster": "c"}), rng).cluster == "c"
    assert rng.getstate() == state


@pytest.mark.parametrize(("p", "q"), [(0, 0), (10, 0), (0, 10), (50, 50), (100, 25), (1, 99)])
def test_delay_and_abort_are_independent(p: int, q: int) -> None:
    config = {
        "delay": {"fixed_delay": "5s", "percentage": {"numerator": p}},
        "abort": {
            "http_status": 500,
            "percentage": {"numerator": q * 10_000, "denominator": "MILLION"},
        },
    }
    compiled = fault.compile_fault(HttpFault.from_dict(config))
    rng = random.Random(2)
    decisions = [fault.decide(compiled, GET, rng) for _ in range(5000)]
    assert within(sum(d.delay == 5.0 for d in decisions), 5000, p / 100)
    assert within(sum(d.abort == 500 for d in decisions), 5000, q / 100)
    assert within(sum(bool(d.delay and d.abort) for d in decisions), 5000, p * q / 10_000)
    assert all(d.flags == ("DI", "FI") for d in decisions if d.delay and d.abort)


def test_active_faults_are_limited() -> None:
    config = {"abort": {"http_status": 500, "percentage": {"numerator": 100}}}
    compiled = fault.compile_fault(HttpFault.from_dict({**config, "max_active_faults": 2}))
    rng = random.Random(1)
    assert fault.decide(compiled, GET, rng, active=1).abort == 500
    assert fault.decide(compiled, GET, rng, active=2) == fault.FaultDecision(overflow=True)


@pytest.mark.parametrize(
    ("authority", "shadow"),
    [
        ("recommendation", "recommendation-shadow"),
        ("recommendation:8080", "recommendation-shadow:8080"),
        ("10.0.0.1", "10.0.0.1-shadow"),
        ("10.0.0.1:80", "10.0.0.1-shadow:80"),
        ("[::1]:80", "[::1]-shadow:80"),
        ("1.2.3", "1.2.3-shadow"),
    ],
)
def test_names_of_shadows(authority: str, shadow: str) -> None:
    assert mirror.shadow_authority(authority) == shadow


def test_a_copy_says_who_sent_it() -> None:
    sent = mirror.forwarded([(b"a", b"1")])
    internal = (b"x-envoy-internal", b"true")
    assert sent == [(b"a", b"1"), (b"x-forwarded-for", b"127.0.0.1"), internal]
    assert mirror.forwarded(sent)[1:] == [(b"x-forwarded-for", b"127.0.0.1,127.0.0.1"), internal]


@pytest.mark.parametrize(
    ("status", "location"),
    [(200, ""), (201, "http://a:80/b?c"), (204, ""), (302, "http://a:80/b?c"), (404, "")],
)
def test_a_direct_response_names_a_location(status: int, location: str) -> None:
    head = RequestHead("GET", "http", "a:80", "/b?c")
    answer = direct_response.decide(direct_response.DirectResponse(status), head)
    assert (answer.status, answer.location) == (status, location)


def test_each_mirror_is_drawn_on_its_own() -> None:
    policies = [
        {"cluster": "all"},
        {"cluster": "some", "runtime_fraction": {"default_value": {"numerator": 30}}},
        {"cluster": "none", "runtime_fraction": {"default_value": {"numerator": 0}}},
        {"cluster": "plain", "disable_shadow_host_suffix_append": True},
        {"cluster_header": "X-Mirror"},
        {"cluster": "named", "host_rewrite_literal": "other"},
    ]
    mirrors = tuple(
        mirror.compile_mirror(RouteActionRequestMirrorPolicy.from_dict(policy))
        for policy in policies
    )
    rng = random.Random(4)
    some = 0
    for _ in range(2000):
        shadows = {s.cluster: s.authority for s in mirror.decide(mirrors, "a:1", rng)}
        some += shadows.pop("some", None) is not None
        assert shadows == {"all": "a-shadow:1", "plain": "a:1", "named": "other"}
    assert within(some, 2000, 0.3)
    by_header = mirror.decide(mirrors, "a", rng, {"x-mirror": "asked"})
    assert "asked" in [shadow.cluster for shadow in by_header]


def test_operators_of_formats() -> None:
    head = RequestHead("GET", "http", "a", "/p?q", [("x", "1"), ("x", "2"), ("long", "abcdef")])
    values = {"UPSTREAM_HOST": "10.0.0.1:80", "PROTOCOL": "HTTP/1.1", "START_TIME": "1.25"}
    context = FormatContext(head, [("r", "resp")], values)
    for text, expected in {
        "%REQ(x)%": "1",
        "%REQ(X?y)%": "1",
        "%REQ(y?x)%": "1",
        "%REQ(long):3%": "abc",
        "%RESP(R)%": "resp",
        "%UPSTREAM_HOST%!": "10.0.0.1:80!",
        "%PROTOCOL%": "HTTP/1.1",
        "100%%": "100%",
        "%START_TIME%": "1970-01-01T00:00:01.250Z",
        "%START_TIME(%Y %3f):6%": "1970 2",
        "%HOSTNAME%": "",
        "%REQ(none)%": "",
    }.items():
        assert compile_format(text)(context) == expected
    for text in ("%", "%REQ(x)", "a%b", "%lower%"):
        with pytest.raises(ValueError, match="begins no operator"):
            compile_format(text)
    with pytest.raises(ValueError, match="%HOST% is no command operator of Envoy"):
        compile_format("%HOST%")
