"""Retries, faults and CORS, judged by the real Envoy."""

from __future__ import annotations

import random
import socket
from collections.abc import Callable
from typing import Any

import pytest
from envoy_data_plane.envoy.config.route.v3 import RetryPolicy
from envoy_data_plane.envoy.extensions.filters.http.cors.v3 import CorsPolicy
from envoy_data_plane.envoy.extensions.filters.http.fault.v3 import HttpFault

from mesh.sidecar.filters import cors, fault
from mesh.sidecar.filters.head import RequestHead
from mesh.sidecar.upstream.retries import TOKENS, Outcome, Reset, compile_retries

pytestmark = pytest.mark.envoy

FILTERS = "type.googleapis.com/envoy.extensions.filters.http"


def cluster(name: str, port: int, **more: Any) -> dict[str, Any]:
    endpoint = {"address": {"socket_address": {"address": "127.0.0.1", "port_value": port}}}
    assignment = {"cluster_name": name, "endpoints": [{"lb_endpoints": [{"endpoint": endpoint}]}]}
    return {"name": name, "type": "STATIC", "load_assignment": assignment, **more}


def only(key: str, value: str) -> dict[str, Any]:
    return {
        "prefix": "/",
        "headers": [{"name": key, "string_match": {"exact": value}}],
    }


def configuration(routes: list[dict[str, Any]]) -> dict[str, Any]:
    return {"name": "r", "virtual_hosts": [{"name": "v", "domains": ["*"], "routes": routes}]}


ANSWERS: list[tuple[int, dict[str, str]]] = [
    *((status, {}) for status in (200, 404, 409, 429, 500, 501, 502, 503, 504, 599, 418)),
    (503, {"x-envoy-overloaded": "true"}),
    (503, {"x-envoy-ratelimited": "true"}),
    (429, {"x-envoy-ratelimited": "true"}),
    (503, {"x-retry": "yes"}),
    (200, {"x-retry": "yes"}),
    *((200, {"grpc-status": code}) for code in ("0", "1", "2", "4", "8", "13", "14")),
    (0, {}),
]


def policy(tokens: str) -> dict[str, Any]:
    return {
        "retry_on": tokens,
        "num_retries": 1,
        "retriable_status_codes": [418, 503],
        "retriable_headers": [{"name": "x-retry", "string_match": {"exact": "yes"}}],
        "retry_back_off": {"base_interval": "0.001s"},
    }


def test_every_retry_condition(judge: Callable[..., Any], backend: Callable[[], Any]) -> None:
    tokens = [*sorted(TOKENS), "", "unknown", "5xx,unknown", " 5xx , retriable-4xx"]
    upstream = backend()
    closed = socket.socket()
    closed.bind(("127.0.0.1", 0))  # bound, not listening: connections are refused
    routes = []
    for number, token in enumerate(tokens):
        for name in ("up", "refused"):
            match = only("token", f"{number}{name}")
            action = {"cluster": name, "retry_policy": policy(token)}
            routes.append({"match": match, "route": action})
    clusters = [cluster("up", upstream.port), cluster("refused", closed.getsockname()[1])]
    envoy = judge(configuration(routes), clusters)
    different = []
    for number, token in enumerate(tokens):
        rules = compile_retries(RetryPolicy.from_dict(policy(token)))
        for status, headers in ANSWERS:
            upstream.seen.clear()
            upstream.script[:] = [(status, headers)]
            envoy.request(headers=[("token", f"{number}up")])
            upstream.script.clear()
            theirs = len(upstream.seen) == 2
            outcome = Outcome(status, headers) if status else Outcome(reset=Reset.TERMINATION)
            if rules.wants(outcome) != theirs:
                different.append((token, status, headers, "Envoy", theirs))
        before = envoy.stats("cluster.refused.").get("upstream_rq_retry", 0)
        envoy.request(headers=[("token", f"{number}refused")])
        theirs = envoy.stats("cluster.refused.").get("upstream_rq_retry", 0) > before
        outcome = Outcome(reset=Reset.CONNECT_FAILURE, request_started=False)
        if rules.wants(outcome) != theirs:
            different.append((token, "refused", "Envoy", theirs))
    closed.close()
    assert not different, "\n".join(map(str, different))


FAULTS: list[tuple[dict[str, Any], list[tuple[str, str]]]] = [
    ({"abort": {"http_status": 503, "percentage": {"numerator": 100}}}, []),
    ({"abort": {"http_status": 418}}, []),
    (
        {
            "abort": {"http_status": 503, "percentage": {"numerator": 100}},
            "headers": [{"name": "x"}],
        },
        [],
    ),
    (
        {
            "abort": {"http_status": 503, "percentage": {"numerator": 100}},
            "headers": [{"name": "x"}],
        },
        [("x", "1")],
    ),
    (
        {
            "abort": {"http_status": 503, "percentage": {"numerator": 100}},
            "upstream_cluster": "other",
        },
        [],
    ),
    (
        {"abort": {"http_status": 503, "percentage": {"numerator": 100}}, "upstream_cluster": "up"},
        [],
    ),
    ({"abort": {"header_abort": {}, "percentage": {"numerator": 100}}}, []),
    (
        {"abort": {"header_abort": {}, "percentage": {"numerator": 100}}},
        [("x-envoy-fault-abort-request", "418")],
    ),
    (
        {"abort": {"header_abort": {}, "percentage": {"numerator": 100}}},
        [("x-envoy-fault-abort-request", "99")],
    ),
    ({"abort": {"header_abort": {}}}, [("x-envoy-fault-abort-request", "418")]),
    (
        {"abort": {"header_abort": {}, "percentage": {"numerator": 100}}},
        [
            ("x-envoy-fault-abort-request", "418"),
            ("x-envoy-fault-abort-request-percentage", "0"),
        ],
    ),
    (
        {"abort": {"http_status": 503, "percentage": {"numerator": 100}}},
        [("x-envoy-fault-abort-request", "418")],
    ),
    ({"abort": {"grpc_status": 5, "percentage": {"numerator": 100}}}, []),
    (
        {"abort": {"grpc_status": 5, "percentage": {"numerator": 100}}},
        [("content-type", "application/grpc")],
    ),
    (
        {
            "delay": {"fixed_delay": "0.001s", "percentage": {"numerator": 100}},
            "abort": {"http_status": 503, "percentage": {"numerator": 100}},
        },
        [],
    ),
    ({"delay": {"fixed_delay": "0.001s"}}, []),
    ({"delay": {"header_delay": {}, "percentage": {"numerator": 100}}}, []),
    (
        {"delay": {"header_delay": {}, "percentage": {"numerator": 100}}},
        [("x-envoy-fault-delay-request", "1")],
    ),
    (
        {
            "abort": {"http_status": 503, "percentage": {"numerator": 100}},
            "max_active_faults": 0,
        },
        [],
    ),
    (
        {
            "abort": {"http_status": 503, "percentage": {"numerator": 100}},
            "downstream_nodes": ["a"],
        },
        [],
    ),
]


def test_every_fault(judge: Callable[..., Any], backend: Callable[[], Any]) -> None:
    kind = f"{FILTERS}.fault.v3.HTTPFault"
    routes = [
        {
            "match": only("case", str(number)),
            "route": {"cluster": "up"},
            "typed_per_filter_config": {"envoy.filters.http.fault": {"@type": kind, **config}},
        }
        for number, (config, _) in enumerate(FAULTS)
    ]
    filters = [{"name": "envoy.filters.http.fault", "typed_config": {"@type": kind}}]
    envoy = judge(configuration(routes), [cluster("up", backend().port)], filters)
    different = []
    for number, (config, headers) in enumerate(FAULTS):
        sent = [("case", str(number)), *headers]
        before = envoy.stats("http.judge.fault.")
        answer = envoy.request(headers=sent)
        after = envoy.stats("http.judge.fault.")
        injected = [after[name] - before[name] for name in ("delays_injected", "aborts_injected")]
        head = RequestHead("GET", "http", "a", "/", sent)
        ours = fault.decide(
            fault.compile_fault(HttpFault.from_dict(config)), head, random.Random(1), "up"
        )
        status = ours.abort or 200
        if [int(ours.delay > 0), int(ours.abort > 0), status] != [*injected, answer.status]:
            different.append((config, headers, ours, injected, answer))
        elif ours.grpc_status is not None and head.get("content-type"):
            if answer.header("grpc-status") != str(ours.grpc_status):
                different.append((config, answer))
        elif ours.abort and answer.body != fault.ABORT_BODY:
            different.append((config, answer.body))
    assert not different, "\n".join(map(str, different))


ORIGIN = ("origin", "https://a.example")
ASK = ("access-control-request-method", "GET")
CORS: list[dict[str, Any]] = [
    {"allow_origin_string_match": [{"exact": "https://a.example"}], "allow_methods": "GET, POST"},
    {"allow_origin_string_match": [{"exact": "*"}], "allow_headers": "*", "allow_methods": "*"},
    {"allow_origin_string_match": [{"safe_regex": {"regex": "https://.*"}}], "max_age": "60"},
    {"allow_origin_string_match": [{"exact": "https://b.example"}], "allow_methods": "GET"},
    {
        "allow_origin_string_match": [{"exact": "https://b.example"}],
        "allow_methods": "GET",
        "forward_not_matching_preflights": False,
        "allow_credentials": True,
    },
    {
        "allow_origin_string_match": [{"prefix": "https://a"}],
        "allow_credentials": True,
        "expose_headers": "x-seen",
        "allow_headers": "x-a",
        "allow_private_network_access": True,
    },
    {"allow_methods": "GET"},
    {
        "allow_origin_string_match": [{"prefix": "https://a"}],
        "filter_enabled": {"default_value": {"numerator": 0}},
        "shadow_enabled": {"default_value": {"numerator": 100}},
    },
]
ASKED: list[tuple[str, list[tuple[str, str]]]] = [
    ("GET", []),
    ("GET", [ORIGIN]),
    ("OPTIONS", [ORIGIN]),
    ("OPTIONS", [ASK]),
    ("OPTIONS", [ORIGIN, ASK]),
    ("OPTIONS", [ORIGIN, ASK, ("access-control-request-headers", "x-a, x-b")]),
    ("OPTIONS", [ORIGIN, ASK, ("access-control-request-private-network", "true")]),
]


def test_every_cors_policy(judge: Callable[..., Any], backend: Callable[[], Any]) -> None:
    kind = f"{FILTERS}.cors.v3"
    routes = [
        {
            "match": only("case", str(number)),
            "route": {"cluster": "up"},
            "typed_per_filter_config": {
                "envoy.filters.http.cors": {"@type": f"{kind}.CorsPolicy", **config}
            },
        }
        for number, config in enumerate(CORS)
    ]
    filters = [{"name": "envoy.filters.http.cors", "typed_config": {"@type": f"{kind}.Cors"}}]
    envoy = judge(configuration(routes), [cluster("up", backend().port)], filters)
    different = []
    for number, config in enumerate(CORS):
        compiled = cors.compile_cors([CorsPolicy.from_dict(config)])
        for method, headers in ASKED:
            sent = [("case", str(number)), *headers]
            before = envoy.stats("http.judge.cors.")
            answer = envoy.request("/", method, "a", sent)
            after = envoy.stats("http.judge.cors.")
            theirs = {k.lower(): v for k, v in answer.headers if k.startswith("access-control")}
            head = RequestHead(method, "http", "a", "/", sent)
            ours = cors.decide(compiled, head, random.Random(1))
            own = ours.preflight
            mine = dict(cors.response_headers(compiled, ours.origin) if own is None else own)
            valid = {k: after[k] - before[k] for k in ("origin_valid", "origin_invalid")}
            counted = {"origin_valid": int(ours.valid is True)}
            counted["origin_invalid"] = int(ours.valid is False)
            answered_by_sidecar = answer.body == b""
            if (mine, own is not None, counted) != (theirs, answered_by_sidecar, valid):
                different.append((config, method, headers, mine, theirs, counted, valid))
    assert not different, "\n".join(map(str, different))
