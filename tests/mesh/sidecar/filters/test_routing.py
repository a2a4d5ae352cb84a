from __future__ import annotations

import random
from typing import Any

import pytest
from envoy_data_plane.envoy.config.route.v3 import RouteConfiguration
from hypothesis import given
from hypothesis import strategies as st

from mesh.sidecar.filters.routing import RequestHead, RouteTable

UP = {"route": {"cluster": "up"}}


def table(routes: list[dict[str, Any]], **more: Any) -> RouteTable:
    host = {"name": "v", "domains": ["*"], "routes": routes}
    config = {"name": "r", "virtual_hosts": [host], **more}
    return RouteTable.compile(RouteConfiguration.from_dict(config))


def taken(routes: RouteTable, path: str = "/", **more: Any) -> str | None:
    head = RequestHead(more.pop("method", "GET"), "http", "a", path, more.pop("headers", None))
    route = routes.match(head, random.Random(1))
    return route.name if route else None


@pytest.mark.parametrize(
    ("route", "reason"),
    [
        (
            {"match": {"safe_regex": {"regex": "(a"}}, **UP},
            "regex '(a' is not valid RE2: missing )",
        ),
        ({"match": {}, **UP}, "the match names no path"),
        ({"match": {"prefix": "/"}}, "needs route, redirect or direct_response"),
        ({**UP}, "has no match"),
        ({"match": {"prefix": "/"}, "route": {}}, "names no cluster"),
        (
            {"match": {"prefix": "/"}, "route": {"weighted_clusters": {"clusters": []}}},
            "lists no cluster",
        ),
        (
            {
                "match": {"prefix": "/"},
                "route": {"weighted_clusters": {"clusters": [{"name": "a", "weight": 0}]}},
            },
            "sum to 0",
        ),
        (
            {
                "match": {"prefix": "/"},
                "route": {
                    "cluster": "a",
                    "regex_rewrite": {"pattern": {"regex": "a"}, "substitution": "\\1"},
                },
            },
            "names group 1",
        ),
        ({"match": {"prefix": "/"}, "direct_response": {"status": 99}}, "within 200 to 599"),
        (
            {
                "match": {"prefix": "/"},
                **UP,
                "request_headers_to_add": [{"header": {"key": ":path", "value": "/"}}],
            },
            "may not be modified",
        ),
        (
            {
                "match": {"prefix": "/"},
                **UP,
                "request_headers_to_add": [{"header": {"key": "x", "value": "50%"}}],
            },
            "begins no operator",
        ),
    ],
)
def test_what_is_refused_names_the_place_and_the_reason(route: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValueError, match="virtual host 'v'") as refused:
        table([route])
    assert reason in str(refused.value)


def test_a_domain_belongs_to_one_virtual_host() -> None:
    hosts = [{"name": name, "domains": ["a", "b"]} for name in ("one", "two")]
    with pytest.raises(ValueError, match="'a' of virtual host 'two' is one of 'one' already"):
        RouteTable.compile(RouteConfiguration.from_dict({"name": "r", "virtual_hosts": hosts}))


def test_the_first_match_wins_and_prefixes_are_plain_text() -> None:
    routes = table(
        [
            {"name": "exact", "match": {"path": "/foo"}, **UP},
            {"name": "prefix", "match": {"prefix": "/foo"}, **UP},
            {"name": "never", "match": {"prefix": "/foobar"}, **UP},
        ]
    )
    assert taken(routes, "/foo?x=1") == "exact"
    assert taken(routes, "/foobar") == "prefix"
    assert taken(routes, "/bar") is None
    head = RequestHead("GET", "http", "a", "/bar")
    assert "none of its 3 routes matches GET /bar" in routes.why_not(head)


def test_a_connect_without_path_takes_only_a_connect_route() -> None:
    routes = table(
        [
            {"name": "all", "match": {"prefix": "/"}, **UP},
            {"name": "connect", "match": {"connect_matcher": {}}, **UP},
        ]
    )
    assert taken(routes, "", method="CONNECT") == "connect"
    assert taken(routes, "/") == "all"


def test_runtime_fractions_of_one_request_share_a_draw() -> None:
    half = {"runtime_fraction": {"default_value": {"numerator": 50}}}
    routes = table(
        [
            {"name": "first", "match": {"prefix": "/", **half}, **UP},
            {"name": "second", "match": {"prefix": "/", **half}, **UP},
            {"name": "rest", "match": {"prefix": "/"}, **UP},
        ]
    )
    rng = random.Random(5)
    names = []
    for _ in range(1000):
        route = routes.match(RequestHead("GET", "http", "a", "/"), rng)
        assert route is not None
        names.append(route.name)
    assert 400 < names.count("first") < 600
    assert names.count("second") == 0


def test_what_a_route_inherits() -> None:
    add = [{"header": {"key": "x", "value": "1"}}]
    fault = {
        "@type": "type.googleapis.com/envoy.extensions.filters.http.fault.v3.HTTPFault",
        "upstream_cluster": "host",
    }
    config = {
        "name": "r",
        "request_headers_to_add": add,
        "virtual_hosts": [
            {
                "name": "v",
                "domains": ["*"],
                "include_request_attempt_count": True,
                "retry_policy": {"retry_on": "5xx"},
                "typed_per_filter_config": {"fault": fault},
                "routes": [
                    {"name": "a", "match": {"prefix": "/a"}, "route": {"cluster": "c"}},
                    {
                        "name": "b",
                        "match": {"prefix": "/b"},
                        "route": {
                            "cluster": "c",
                            "timeout": "0s",
                            "retry_policy": {"retry_on": "reset"},
                            "cluster_not_found_response_code": "NOT_FOUND",
                        },
                        "typed_per_filter_config": {"fault": {**fault, "upstream_cluster": "own"}},
                    },
                ],
            }
        ],
    }
    routes = RouteTable.compile(RouteConfiguration.from_dict(config))
    rng = random.Random(1)
    first = routes.match(RequestHead("GET", "http", "x", "/a"), rng)
    second = routes.match(RequestHead("GET", "http", "x", "/b"), rng)
    assert first is not None
    assert second is not None
    assert (first.timeout, second.timeout) == (15.0, None)
    assert first.retry_policy is not None
    assert second.retry_policy is not None
    assert (first.retry_policy.retry_on, second.retry_policy.retry_on) == ("5xx", "reset")
    assert first.filter_config["fault"].upstream_cluster == "host"
    assert second.filter_config["fault"].upstream_cluster == "own"
    assert second.cluster_not_found_status == 404
    assert first.include_request_attempt_count
    assert len(first.request_headers) == 1
    assert first.matched == "virtual host v, route 0 (a): path begins with /a"


PATHS = st.sampled_from(["/", "/a", "/a/", "/a/b", "/ab", "/b", "/B", "/a/b/c", ""])
MATCHES = st.one_of(
    st.builds(lambda path: {"path": path}, PATHS),
    st.builds(lambda path: {"prefix": path}, PATHS),
    st.builds(lambda path: {"prefix": path, "case_sensitive": False}, PATHS),
    st.builds(lambda path: {"path_separated_prefix": path or "/x"}, PATHS),
    st.builds(lambda path: {"safe_regex": {"regex": f"{path}.?"}}, PATHS),
)


@given(st.lists(MATCHES, max_size=30), PATHS)
def test_the_index_finds_what_a_walk_finds(matches: list[dict[str, Any]], path: str) -> None:
    routes = [{"name": str(number), "match": match, **UP} for number, match in enumerate(matches)]
    alone = [taken(table([route]), path) for route in routes]
    first = next((name for name in alone if name is not None), None)
    assert taken(table(routes), path) == first
