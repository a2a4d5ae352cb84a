"""Every route decision of a table of requests, judged by the real Envoy."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest
from envoy_data_plane.envoy.config.route.v3 import RouteConfiguration

from mesh.sidecar.filters.routing import RequestHead, RouteTable

pytestmark = pytest.mark.envoy


def header(name: str, **match: Any) -> dict[str, Any]:
    return {"name": name, **match}


def regex(text: str) -> dict[str, Any]:
    return {"regex": text}


MATCHES: dict[str, dict[str, Any]] = {
    "exact": {"path": "/exact"},
    "exact-case": {"path": "/Exact", "case_sensitive": False},
    "separated": {"path_separated_prefix": "/sep"},
    "regex": {"safe_regex": regex(r"/r/[0-9]+")},
    "h-exact": {"prefix": "/h", "headers": [header("x", string_match={"exact": "one"})]},
    "h-empty": {"prefix": "/e", "headers": [header("x", string_match={"exact": ""})]},
    "h-prefix": {"prefix": "/h", "headers": [header("x", string_match={"prefix": "pre"})]},
    "h-suffix": {"prefix": "/h", "headers": [header("x", string_match={"suffix": "suf"})]},
    "h-contains": {"prefix": "/h", "headers": [header("x", string_match={"contains": "mid"})]},
    "h-case": {
        "prefix": "/h",
        "headers": [header("x", string_match={"exact": "FOLD", "ignore_case": True})],
    },
    "h-regex": {
        "prefix": "/h",
        "headers": [header("x", string_match={"safe_regex": regex("a.*z")})],
    },
    "h-byte": {"prefix": "/h", "headers": [header("x", string_match={"safe_regex": regex(".")})]},
    "h-utf-8": {"prefix": "/h", "headers": [header("x", string_match={"exact": "é"})]},
    "h-range": {"prefix": "/h", "headers": [header("n", range_match={"start": -2, "end": 5})]},
    "h-present": {"prefix": "/p", "headers": [header("x", present_match=True)]},
    "h-absent": {"prefix": "/a", "headers": [header("x", present_match=False)]},
    "h-not-present": {
        "prefix": "/np",
        "headers": [header("x", present_match=True, invert_match=True)],
    },
    "h-not-absent": {
        "prefix": "/na",
        "headers": [header("x", present_match=False, invert_match=True)],
    },
    "h-present-empty": {
        "prefix": "/pe",
        "headers": [header("x", present_match=True, treat_missing_header_as_empty=True)],
    },
    "h-not": {
        "prefix": "/not",
        "headers": [header("x", string_match={"exact": "one"}, invert_match=True)],
    },
    "h-not-empty": {
        "prefix": "/without",
        "headers": [
            header(
                "x",
                string_match={"exact": "one"},
                invert_match=True,
                treat_missing_header_as_empty=True,
            )
        ],
    },
    "h-missing-empty": {
        "prefix": "/missing",
        "headers": [header("x", string_match={"exact": ""}, treat_missing_header_as_empty=True)],
    },
    "h-none": {"prefix": "/none", "headers": [header("x")]},
    "method": {"prefix": "/m", "headers": [header(":method", string_match={"exact": "POST"})]},
    "authority": {
        "prefix": "/m",
        "headers": [header(":authority", string_match={"prefix": "b."})],
    },
    "path-header": {"prefix": "/", "headers": [header(":path", string_match={"exact": "/y?z=1"})]},
    "q-exact": {
        "prefix": "/q",
        "query_parameters": [{"name": "k", "string_match": {"exact": "v"}}],
    },
    "q-empty": {
        "prefix": "/q",
        "query_parameters": [{"name": "e", "string_match": {"exact": ""}}],
    },
    "q-regex": {
        "prefix": "/q",
        "query_parameters": [{"name": "r", "string_match": {"safe_regex": regex("[a-c]+")}}],
    },
    "q-present": {"prefix": "/q", "query_parameters": [{"name": "p", "present_match": True}]},
    "q-absent": {"prefix": "/qa", "query_parameters": [{"name": "p", "present_match": False}]},
    "q-name": {"prefix": "/qn", "query_parameters": [{"name": "p"}]},
    "q-escaped": {
        "prefix": "/q",
        "query_parameters": [{"name": "s", "string_match": {"exact": "a b"}}],
    },
    "cookie": {"prefix": "/c", "cookies": [{"name": "u", "string_match": {"exact": "1"}}]},
    "cookie-not": {
        "prefix": "/cn",
        "cookies": [{"name": "u", "string_match": {"exact": "1"}, "invert_match": True}],
    },
    "grpc": {"prefix": "/g", "grpc": {}},
    "never": {"prefix": "/f", "runtime_fraction": {"default_value": {"numerator": 0}}},
    "always": {"prefix": "/f", "runtime_fraction": {"default_value": {"numerator": 100}}},
    "prefix": {"prefix": "/foo"},
    "prefix-case": {"prefix": "/BAR", "case_sensitive": False},
}

REQUESTS: list[tuple[str, str, str, list[tuple[str, str]]]] = [
    ("GET", "a", path, [])
    for path in (
        *("/exact", "/exact?q=1", "/exact/", "/eXACT", "/EXACT?x", "/sep", "/sep/x", "/sepx"),
        *("/sep?x=/", "/r/12", "/r/12?x=1", "/r/12/3", "/r/", "/foo", "/foobar", "/Foo", "/bar"),
        *("/Bar/x", "/p", "/a", "/np", "/na", "/pe", "/not", "/without", "/missing", "/none"),
        *("/y?z=1", "/y?z=2", "/q?k=v", "/q?k=w&k=v", "/q?k=v&k=w", "/q?e", "/q?e=", "/q?r=abc"),
        *("/q?r=abcd", "/q?p", "/q?pp=1", "/qa", "/qa?p", "/qn?p", "/qn", "/q?s=a%20b", "/q?s=a+b"),
        *("/q?K=v", "/f", "/m", "/c", "/cn", "/g", "/", "//exact", "/%65xact", "/e"),
        *("/q?a=1&k=v", "/q?k", "/foo?x=1?y=2", "/q??k=v", "/h"),
    )
]
REQUESTS += [
    ("GET", "a", path, [("x", value)])
    for path in (
        "/h",
        "/e",
        "/p",
        "/a",
        "/np",
        "/na",
        "/pe",
        "/not",
        "/without",
        "/missing",
        "/none",
    )
    for value in ("one", "One", "", "prefix", "asuf", "amidz", "fold", "abcz", "abc")
]
REQUESTS += [
    ("GET", "a", "/h", [("n", value)])
    for value in ("-2", "-3", "4", "5", "+1", "1.0", "x", "", "99999999999999999999")
]
REQUESTS += [
    ("GET", "a", "/h", [("x", "one"), ("x", "two")]),
    ("GET", "a", "/h", [("x", "pre"), ("x", "asuf")]),
    ("POST", "a", "/m", []),
    ("PUT", "a", "/m", []),
    ("GET", "b.x.com", "/m", []),
    ("GET", "a", "/c", [("cookie", "u=1; v=2")]),
    ("GET", "a", "/c", [("cookie", 'v=2; u="1"')]),
    ("GET", "a", "/c", [("cookie", "u=2; u=1")]),
    ("GET", "a", "/cn", [("cookie", "u=1")]),
    ("GET", "a", "/cn", [("cookie", "u=2")]),
    ("GET", "a", "/g", [("content-type", "application/grpc")]),
    ("GET", "a", "/g", [("content-type", "application/grpc+proto")]),
    ("GET", "a", "/g", [("content-type", "application/grpcx")]),
    ("GET", "a", "/h", [("x", "a\xe9z")]),
    ("GET", "a", "/h", [("x", "\xe9")]),
    ("GET", "a", "/h", [("x", "\xc3\xa9")]),
    ("GET", "a", "/h", [("x", "two"), ("x", "one")]),
    ("GET", "a", "/h", [("x", "one,two")]),
    ("GET", "a", "/h", [("n", "9"), ("n", "1")]),
    ("GET", "a", "/not", [("x", "two"), ("x", "one")]),
    ("GET", "a", "/not", [("x", "two"), ("x", "three")]),
    ("GET", "a", "/without", [("x", "two"), ("x", "one")]),
    ("GET", "a", "/without", [("x", "two"), ("x", "three")]),
    ("GET", "a", "/missing", [("x", "two"), ("x", "")]),
]
HOSTS = {
    "exact": ["foo.com", "foo.com:81"],
    "suffix": ["*.foo.com", "*bar.com"],
    "longer": ["*.b.foo.com"],
    "prefix": ["foo.*", "fo*"],
    "longer-prefix": ["foo.n*"],
    "all": ["*"],
}
AUTHORITIES = (
    *("foo.com", "FOO.com", "foo.com:80", "foo.com:81", "a.foo.com", ".foo.com", "b.foo.com"),
    *(
        "a.b.foo.com",
        "bar.com",
        "xbar.com",
        "foo.org",
        "foo.net",
        "foo.n",
        "fo",
        "fox",
        "f",
        "foo.",
    ),
)


def direct(name: str, match: dict[str, Any]) -> dict[str, Any]:
    return {
        "name": name,
        "match": match,
        "direct_response": {"status": 200, "body": {"inline_string": name}},
        "response_headers_to_add": [{"header": {"key": "route", "value": name}}],
    }


def table(config: dict[str, Any]) -> RouteTable:
    return RouteTable.compile(RouteConfiguration.from_dict(config))


def test_every_kind_of_match(judge: Callable[..., Any]) -> None:
    routes = [direct(name, match) for name, match in MATCHES.items()]
    config = {"name": "r", "virtual_hosts": [{"name": "v", "domains": ["*"], "routes": routes}]}
    envoy = judge(config)
    ours = table(config)
    rng = random.Random(1)
    different = []
    for method, host, path, headers in REQUESTS:
        route = ours.match(RequestHead(method, "http", host, path, list(headers)), rng)
        answer = envoy.request(path, method, host, headers)
        theirs = answer.header("route")
        mine = route.name if route else None
        if mine != theirs:
            different.append((method, host, path, headers, "ours", mine, "Envoy", theirs))
    assert not different, "\n".join(map(str, different))


@pytest.mark.parametrize("ignore_port", [False, True])
def test_every_kind_of_domain(judge: Callable[..., Any], ignore_port: bool) -> None:
    config = {
        "name": "r",
        "ignore_port_in_host_matching": ignore_port,
        "virtual_hosts": [
            {
                "name": name,
                # With the port ignored, a domain with a port never matches.
                "domains": domains,
                "routes": [direct(name, {"prefix": "/"})],
            }
            for name, domains in HOSTS.items()
        ],
    }
    envoy = judge(config)
    ours = table(config)
    answers = {host: envoy.request(host=host).body.decode() for host in AUTHORITIES}
    assert {host: ours.virtual_host(host) for host in AUTHORITIES} == answers
