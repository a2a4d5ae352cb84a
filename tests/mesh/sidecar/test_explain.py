"""Every decision of a request can be asked for afterwards."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from envoy_data_plane.envoy.config.cluster.v3 import Cluster, OutlierDetection

from mesh.sidecar.explain import Explanations
from mesh.sidecar.mitm.flow import make_flow, make_request
from mesh.sidecar.stream_info import StreamInfo

FAULT = "type.googleapis.com/envoy.extensions.filters.http.fault.v3.HTTPFault"


async def record(mesh: Any, request_id: str) -> dict[str, Any]:
    reply = await mesh.admin("GET", f"/explain?request_id={request_id}")
    (found,) = json.loads(reply.body)["records"]
    return dict(found)


def steps(found: dict[str, Any], name: str) -> list[dict[str, Any]]:
    return [step for step in found["steps"] if step["step"] == name]


async def test_route_draw_endpoint_and_mirror(kit: Any, folder: Path) -> None:
    weighted = {
        "match": {"prefix": "/"},
        "requestHeadersToAdd": [{"header": {"key": "on-its-way", "value": "yes"}}],
        "route": {
            "timeout": "0s",
            "retryPolicy": {"retryOn": "5xx"},
            "weightedClusters": {"clusters": [{"name": "a", "weight": 7}, {"name": "b"}]},
            "requestMirrorPolicies": [{"cluster": "b"}, {"cluster": "gone"}],
        },
    }
    picky = {
        "match": {
            "prefix": "/x",
            "headers": [{"name": "version", "stringMatch": {"exact": "2"}}],
            "queryParameters": [{"name": "q", "stringMatch": {"exact": "1"}}],
        },
        "route": {"cluster": "b"},
    }
    absent = {"match": {"path": "/y"}, "route": {"cluster": "b"}}
    async with kit.upstream() as one, kit.upstream() as other:
        clusters = [kit.cluster("a", one.port), kit.cluster("b", other.port)]
        async with kit.running(folder, [picky, absent, weighted], clusters) as mesh:
            await mesh.get("/x?q=2", extra="x-request-id: first\r\nversion: 2\r\n")
            found = await record(mesh, "first")
            await mesh.get("/x", extra="x-request-id: second\r\nversion: 3\r\n")
            second = await record(mesh, "second")
    (route,) = steps(found, "route")
    assert route["virtual_host"] == "all"
    assert route["matched"] == "virtual host all, route 2: path begins with /"
    assert [each["because"] for each in route["not_taken"]] == [
        "query parameter q = 1: the request has 2",
        "path = /y: the path is /x",
    ]
    assert steps(second, "route")[0]["not_taken"][0]["because"] == (
        "header version = 2: the request has 3"
    )
    (draw,) = steps(found, "cluster")
    assert (draw["cluster"], draw["weight"], draw["total"]) == ("a", 7, 7)
    assert 0 <= draw["draw"] < 7
    assert [(each["cluster"], each["sent"]) for each in steps(found, "mirror")] == [
        ("b", True),
        ("gone", False),
    ]
    (endpoint,) = steps(found, "endpoint")
    assert endpoint["address"] == f"127.0.0.1:{one.port}"
    assert endpoint["why"] == "the only endpoint in play"
    (outcome,) = steps(found, "outcome")
    assert (outcome["attempt"], outcome["status"]) == (1, 200)
    assert found["response_code"] == 200
    assert found["listener"] == "http.out."


async def test_attempts_ejection_and_who_is_left(kit: Any, folder: Path) -> None:
    async def broken(method: str, path: str, head: str, body: bytes) -> bytes:
        return b"HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n"

    policy = {
        "retryOn": "5xx",
        "numRetries": 3,
        "retryBackOff": {"baseInterval": "0.001s"},
        "retryHostPredicate": [{"name": "envoy.retry_host_predicates.previous_hosts"}],
        "hostSelectionRetryMaxAttempts": 50,
    }
    async with kit.upstream(broken) as bad, kit.upstream() as good:
        cluster = Cluster.from_dict(kit.cluster("c", bad.port, good.port))
        cluster.outlier_detection = OutlierDetection(consecutive_5xx=1, max_ejection_percent=50)
        entries = [kit.route("/", "c", retryPolicy=policy)]
        async with kit.running(folder, entries, [cluster]) as mesh:
            ids = [f"try-{number}" for number in range(3)]
            for each in ids:
                assert (await mesh.get(extra=f"x-request-id: {each}\r\n")).status == 200
            records = [await record(mesh, each) for each in ids]
    retried = next(each for each in records if each["attempts"] == 2)
    assert [each.get("status") for each in steps(retried, "outcome")] == [503, 200]
    assert len(steps(retried, "retry")) == 1
    (ejection,) = steps(retried, "ejection")
    assert ejection["address"] == f"127.0.0.1:{bad.port}"
    assert ejection["because"] == "CONSECUTIVE_5XX"
    (out,) = steps(records[-1], "not in play")
    assert out["hosts"] == [
        {
            "pod": "",
            "address": f"127.0.0.1:{bad.port}",
            "because": "ejected: CONSECUTIVE_5XX",
        }
    ]


async def test_faults_refusals_and_no_route(kit: Any, folder: Path) -> None:
    fault = {"@type": FAULT, "abort": {"httpStatus": 418, "percentage": {"numerator": 100}}}
    filters = [
        {"name": "fault", "typedConfig": {"@type": FAULT}},
        kit.ROUTER,
    ]
    aborted = {**kit.route("/a", "c"), "typedPerFilterConfig": {"fault": fault}}
    nobody = kit.route("/n", "empty")
    entries = [aborted, nobody]
    clusters = [kit.cluster("c", 1), kit.cluster("empty")]
    async with kit.running(folder, entries, clusters, filters=filters) as mesh:
        await mesh.get("/a", extra="x-request-id: aborted\r\n")
        await mesh.get("/n", extra="x-request-id: nobody\r\n")
        await mesh.get("/z", extra="x-request-id: nowhere\r\n")
        found = [await record(mesh, each) for each in ("aborted", "nobody", "nowhere")]
        newest = json.loads((await mesh.admin("GET", "/explain?limit=2")).body)["records"]
        assert (await mesh.admin("GET", "/explain?limit=x")).status == 400
    assert steps(found[0], "fault") == [{"step": "fault", "delay": 0.0, "abort": 418}]
    assert found[0]["response_flags"] == "FI"
    assert steps(found[1], "no endpoint") == [
        {"step": "no endpoint", "cluster": "empty", "known": 0}
    ]
    (step,) = steps(found[2], "no route")
    assert "none of its 2 routes matches GET /z" in step["why"]
    assert len(step["not_taken"]) == 2
    assert [each["request_id"] for each in newest] == ["nobody", "nowhere"]


def test_the_ring_is_bounded_and_holds_no_connection() -> None:
    ring = Explanations(kept=2)
    for name in (b"a", b"b", b"c"):
        info = StreamInfo(0.0, 0.0)
        info.upstream_connection = object()
        request = make_request(b"GET", b"http", b"h", b"/", [], 0.0)
        ring.add(info, make_flow(None, None, request, ""), name, "http.x.")  # type: ignore[arg-type]
        assert info.upstream_connection is None
    assert [each["request_id"] for each in ring.find()] == ["b", "c"]
    assert ring.find("a") == []
