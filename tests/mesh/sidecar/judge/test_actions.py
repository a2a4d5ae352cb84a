"""What routes do to requests and answers, judged by the real Envoy."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest
from envoy_data_plane.envoy.config.route.v3 import RouteConfiguration

from mesh.sidecar.filters import redirect, rewrite
from mesh.sidecar.filters.headers import apply_to_request, apply_to_response
from mesh.sidecar.filters.routing import RequestHead, RouteTable
from mesh.sidecar.filters.weighted_clusters import choose

pytestmark = pytest.mark.envoy


def add(key: str, value: str, action: str = "", **more: Any) -> dict[str, Any]:
    option: dict[str, Any] = {"header": {"key": key, "value": value}, **more}
    return {**option, "append_action": action} if action else option


def sub(pattern: str, substitution: str) -> dict[str, Any]:
    return {"pattern": {"regex": pattern}, "substitution": substitution}


def cluster(name: str, port: int, **more: Any) -> dict[str, Any]:
    endpoint = {"address": {"socket_address": {"address": "127.0.0.1", "port_value": port}}}
    return {
        "name": name,
        "type": "STATIC",
        "load_assignment": {
            "cluster_name": name,
            "endpoints": [{"lb_endpoints": [{"endpoint": endpoint}]}],
        },
        **more,
    }


def config(match: dict[str, Any], route: dict[str, Any], **more: Any) -> dict[str, Any]:
    host = {"name": "v", "domains": ["*"], "routes": [{"match": match, **route}]}
    host.update(more.pop("host", {}))
    return {"name": "r", "virtual_hosts": [host], **more}


def to(**action: Any) -> dict[str, Any]:
    return {"route": {"cluster": "up", **action}}


P = {"prefix": "/p"}
REWRITES: dict[str, tuple[dict[str, Any], dict[str, Any], tuple[str, ...]]] = {
    "prefix": (P, to(prefix_rewrite="/"), ("/p", "/p/x", "/p?q=1", "/p/x?q=/p", "/pp")),
    "prefix-longer": (P, to(prefix_rewrite="/new/deep"), ("/p", "/p/x", "/px?y")),
    "prefix-fold": (
        {"prefix": "/P", "case_sensitive": False},
        to(prefix_rewrite="/n"),
        ("/p/x", "/P/x"),
    ),
    "exact": ({"path": "/p"}, to(prefix_rewrite="/n"), ("/p", "/p?q=1")),
    "separated": (
        {"path_separated_prefix": "/p"},
        to(prefix_rewrite="/n"),
        ("/p", "/p/x", "/p?a"),
    ),
    "regex": ({"safe_regex": {"regex": "/p/.*"}}, to(prefix_rewrite="/n"), ("/p/x?y=1",)),
    "regex-sub": (P, to(regex_rewrite=sub(r"/(p)/(\w+)", r"/\2/\1")), ("/p/x", "/p/x/p/y?/p/z")),
    "regex-all": (P, to(regex_rewrite=sub("[0-9]", "-")), ("/p/1a22?3",)),
    "regex-whole": (P, to(regex_rewrite=sub(r"^/p/(.*)$", r"/\0/\1")), ("/p/x",)),
    "regex-empty": (P, to(regex_rewrite=sub("x*", "-")), ("/pxa",)),
    "same": (P, to(prefix_rewrite="/p"), ("/p/x",)),
    "host": (P, to(host_rewrite_literal="other:81"), ("/p",)),
    "host-same": (P, to(host_rewrite_literal="a:80", append_x_forwarded_host=True), ("/p",)),
    "no-match": (P, to(regex_rewrite=sub("zzz", "-")), ("/p/x",)),
    "host-header": (P, to(host_rewrite_header="x-host"), ("/p",)),
    "host-header-absent": (P, to(host_rewrite_header="x-none"), ("/p",)),
    "host-path": (P, to(host_rewrite_path_regex=sub("^/p/(.+)$", r"\1")), ("/p/h?x=1", "/p")),
    "forwarded": (P, to(host_rewrite_literal="other", append_x_forwarded_host=True), ("/p",)),
    "forwarded-alone": (P, to(append_x_forwarded_host=True), ("/p",)),
    "weighted-host-forwarded": (
        P,
        {
            "route": {
                "append_x_forwarded_host": True,
                "host_rewrite_literal": "route",
                "weighted_clusters": {
                    "clusters": [{"name": "up", "weight": 3, "host_rewrite_literal": "w"}]
                },
            }
        },
        ("/p",),
    ),
    "weighted-host": (
        P,
        {
            "route": {
                "weighted_clusters": {
                    "clusters": [{"name": "up", "weight": 3, "host_rewrite_literal": "w"}]
                }
            }
        },
        ("/p",),
    ),
}
IGNORED = {"x-request-id", "x-forwarded-proto", "x-envoy-expected-rq-timeout-ms", "date", "server"}
IGNORED |= {"x-envoy-upstream-service-time", "content-length", "connection"}


def shown(headers: list[Any]) -> list[tuple[str, str]]:
    return sorted((key.lower(), value) for key, value in headers if key.lower() not in IGNORED)


@pytest.mark.parametrize("name", REWRITES)
def test_rewrites(name: str, judge: Callable[..., Any], backend: Callable[[], Any]) -> None:
    match, action, paths = REWRITES[name]
    routes = config(match, action)
    envoy = judge(routes, [cluster("up", backend().port)])
    table = RouteTable.compile(RouteConfiguration.from_dict(routes))
    for path in paths:
        sent = [("x-host", "from.header")]
        theirs = envoy.request(path, host="a:80", headers=sent).json()
        head = RequestHead("GET", "http", "a:80", path, sent)
        route = table.match(head, random.Random(1))
        assert route is not None
        choice = choose(route, random.Random(1))
        ours = rewrite.decide(route.rewrite, head, choice.host_rewrite)
        upstream = dict(theirs["headers"])
        assert (ours.path, ours.authority) == (theirs["path"], upstream["host"])
        assert ours.original_path == upstream.get("x-envoy-original-path")
        assert ours.original_authority == upstream.get("x-envoy-original-host")
        assert ours.forwarded_host == upstream.get("x-forwarded-host")


LEVELS = [
    add("x-set", "route", "OVERWRITE_IF_EXISTS_OR_ADD"),
    add("x-add", "route"),
    add("x-absent", "route", "ADD_IF_ABSENT"),
    add("x-there", "route", "ADD_IF_ABSENT"),
    add("x-if", "route", "OVERWRITE_IF_EXISTS"),
    add("x-ifnot", "route", "OVERWRITE_IF_EXISTS"),
    add("x-empty", ""),
    add("x-kept", "", keep_empty_value=True),
    add("x-format", "%REQ(X-There)%|%REQ(none?x-there):2%|%REQ(:path)%|%%|%PROTOCOL%|%REQ(none)%"),
    add("x-removed", "again"),
    add("x-first", "%REQ(x-dup)%"),
    add("x-twice", "1", "OVERWRITE_IF_EXISTS_OR_ADD"),
    add("x-twice", "2", "OVERWRITE_IF_EXISTS_OR_ADD"),
    add("x-mixed", "added"),
    add("x-mixed", "set", "OVERWRITE_IF_EXISTS_OR_ADD"),
    add("x-old", "old", append=False),
    add("X-Seen", "%REQ(x-removed)%"),
    add("x-utf", "é"),
    add("x-method", "%REQ(:METHOD)% %REQ(:AUTHORITY)% %REQ(:SCHEME)%"),
]
SENT = [
    ("x-set", "a"),
    ("x-set", "b"),
    ("x-dup", "a"),
    ("x-dup", "b"),
    ("x-add", "a"),
    ("x-there", "there"),
    ("x-if", "a"),
    ("x-removed", "a"),
    ("x-old", "a"),
    ("x-mixed", "a"),
]


@pytest.mark.filterwarnings("ignore:HeaderValueOption.append is deprecated")
@pytest.mark.parametrize("specific", [False, True])
def test_header_operations(
    specific: bool, judge: Callable[..., Any], backend: Callable[[], Any]
) -> None:
    levels = {"request_headers_to_add": LEVELS, "request_headers_to_remove": ["X-Removed"]}
    levels |= {"response_headers_to_add": LEVELS, "response_headers_to_remove": ["X-Removed"]}

    def outer(name: str) -> dict[str, Any]:
        options = [add("x-set", name, "OVERWRITE_IF_EXISTS_OR_ADD"), add("x-add", name)]
        return {
            "request_headers_to_add": options,
            "response_headers_to_add": options,
            "request_headers_to_remove": [f"x-from-{name}"],
        }

    weighted = {"name": "up", "weight": 1, **outer("weighted")}
    route = {"route": {"weighted_clusters": {"clusters": [weighted]}}, **levels}
    routes = config(
        {"prefix": "/"},
        route,
        host=outer("vhost"),
        **outer("config"),
        most_specific_header_mutations_wins=specific,
    )
    upstream = backend()
    answered = {"x-set": "up", "x-there": "up", "x-if": "up", "x-removed": "up", "x-old": "up"}
    upstream.script.append((200, answered))
    envoy = judge(routes, [cluster("up", upstream.port)])
    answer = envoy.request("/x?y=1", host="a", headers=SENT)

    table = RouteTable.compile(RouteConfiguration.from_dict(routes))
    head = RequestHead("GET", "http", "a", "/x?y=1", list(SENT))
    taken = table.match(head, random.Random(1))
    assert taken is not None
    choice = choose(taken, random.Random(1))
    apply_to_request(taken.request_levels(choice), head, {"PROTOCOL": "HTTP/1.1"})
    theirs = [(key, value) for key, value in answer.json()["headers"] if key != "host"]
    assert shown(head.headers) == shown(theirs)
    ours = apply_to_response(
        taken.response_levels(choice), list(answered.items()), head, {"PROTOCOL": "HTTP/1.1"}
    )
    assert shown(ours) == shown(answer.headers)


REDIRECTS: list[dict[str, Any]] = [
    {"path_redirect": "/n"},
    {"path_redirect": "/n", "strip_query": True},
    {"path_redirect": "/n?own=1"},
    {"path_redirect": "/n?own=1", "strip_query": True},
    {"prefix_rewrite": "/n"},
    {"prefix_rewrite": "/"},
    {"prefix_rewrite": "/n", "strip_query": True},
    {"regex_rewrite": sub("^/p/(.*)$", r"/r/\1")},
    {"host_redirect": "other"},
    {"host_redirect": "other:99"},
    {"https_redirect": True},
    {"scheme_redirect": "https"},
    {"scheme_redirect": "http"},
    {"port_redirect": 8443},
    {"port_redirect": 80},
    {"https_redirect": True, "port_redirect": 443},
    {"https_redirect": True, "host_redirect": "other:80"},
    {"response_code": "FOUND"},
    {"response_code": "SEE_OTHER", "host_redirect": "o"},
    {"response_code": "TEMPORARY_REDIRECT", "host_redirect": "o"},
    {"response_code": "PERMANENT_REDIRECT", "host_redirect": "o"},
]


def test_redirects(judge: Callable[..., Any]) -> None:
    routes = {
        "name": "r",
        "virtual_hosts": [
            {
                "name": "v",
                "domains": ["*"],
                "routes": [
                    {
                        "match": {
                            "prefix": "/p",
                            "headers": [{"name": "case", "string_match": {"exact": str(number)}}],
                        },
                        "redirect": action,
                    }
                    for number, action in enumerate(REDIRECTS)
                ],
            }
        ],
    }
    envoy = judge(routes)
    table = RouteTable.compile(RouteConfiguration.from_dict(routes))
    different = []
    for number, action in enumerate(REDIRECTS):
        for path in ("/p", "/p/x", "/p/x?q=1"):
            for host in ("a", "a:80", "a:443", "a:81", "[::1]:80", "[::1]"):
                headers = [("case", str(number))]
                answer = envoy.request(path, host=host, headers=headers)
                head = RequestHead("GET", "http", host, path, headers)
                route = table.match(head, random.Random(1))
                assert route is not None
                assert route.redirect is not None
                ours = redirect.decide(route.redirect, head)
                theirs = (answer.status, answer.header("location"))
                if (ours.status, ours.location) != theirs:
                    different.append((action, host, path, "ours", ours, "Envoy", theirs))
    assert not different, "\n".join(map(str, different))
