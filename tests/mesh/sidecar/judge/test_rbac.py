"""Who may call what, judged by the real Envoy: every policy against every request."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import pytest
from envoy_data_plane.envoy.config.rbac.v3 import Rbac

from mesh.sidecar.filters.rbac import Engine
from mesh.sidecar.filters.rbac_facts import RequestFacts
from mesh.sidecar.filters.routing import RequestHead
from mesh.sidecar.http_connection_manager import last_address

pytestmark = pytest.mark.envoy
TYPE = "type.googleapis.com/envoy.extensions.filters.http.rbac.v3.RBAC"
ANY: dict[str, Any] = {"any": True}


def header(name: str, **match: Any) -> dict[str, Any]:
    more = {key: match.pop(key) for key in ("invert_match", "present_match") if key in match}
    return {"header": {"name": name, **({"string_match": match} if match else {}), **more}}


def path(**match: Any) -> dict[str, Any]:
    return {"url_path": {"path": match}}


def claim(name: str, **value: Any) -> dict[str, Any]:
    return {"metadata": {"filter": "a", "path": [{"key": name}], "value": value}}


PERMISSIONS: list[dict[str, Any]] = [
    ANY,
    header(":method", exact="GET"),
    header(":method", prefix="P"),
    header(":authority", exact="A.example", ignore_case=True),
    header(":authority", suffix=".example"),
    header("x-user", exact="jason"),
    header("x-user", present_match=True),
    header("x-user", exact="jason", invert_match=True),
    path(exact="/admin"),
    path(prefix="/admin"),
    path(suffix="/x"),
    path(safe_regex={"regex": "/[a-z]+"}),
    {"destination_ip": {"address_prefix": "127.0.0.0", "prefix_len": 8}},
    {"destination_ip": {"address_prefix": "10.0.0.0", "prefix_len": 8}},
    {"destination_port": 1},
    {"destination_port_range": {"start": 2, "end": 65536}},
    {"requested_server_name": {"exact": ""}},
    {"not_rule": header(":method", exact="GET")},
    {"and_rules": {"rules": [header(":method", exact="GET"), path(prefix="/admin")]}},
    {"or_rules": {"rules": [header(":method", exact="PUT"), path(prefix="/admin")]}},
    claim("x", string_match={"exact": ""}),
    claim("x", present_match=True),
    claim("x", present_match=False),
    {"not_rule": claim("x", string_match={"prefix": "a"})},
]
PRINCIPALS: list[dict[str, Any]] = [
    ANY,
    {"authenticated": {}},
    {"authenticated": {"principal_name": {"safe_regex": {"regex": ".*"}}}},
    {"not_id": {"authenticated": {"principal_name": {"exact": "spiffe://a"}}}},
    {"direct_remote_ip": {"address_prefix": "127.0.0.1", "prefix_len": 32}},
    {"remote_ip": {"address_prefix": "10.1.0.0", "prefix_len": 16}},
    {"remote_ip": {"address_prefix": "127.0.0.0", "prefix_len": 8}},
    {"source_ip": {"address_prefix": "127.0.0.0", "prefix_len": 8}},
    header("x-user", prefix="ja"),
    {"url_path": {"path": {"exact": "/admin"}}},
    {"and_ids": {"ids": [ANY, header("x-user", suffix="n")]}},
    {"or_ids": {"ids": [header("x-user", exact="no"), header("x-role", exact="b")]}},
    claim("x", null_match={}),
]
REQUESTS: list[tuple[str, str, str, list[tuple[str, str]]]] = [
    ("GET", "/admin", "a.example", []),
    ("GET", "/admin?x=/x", "a.example:80", [("x-user", "jason")]),
    ("PATCH", "/Admin/x", "A.EXAMPLE", [("x-user", "Jason")]),
    ("POST", "/", "b", [("x-user", "jan"), ("x-user", "jason")]),
    ("PUT", "/admin/x#/admin", "b", [("x-role", "a"), ("x-role", "b")]),
    ("GET", "/x", "b", [("x-forwarded-for", "1.1.1.1, 10.1.2.3")]),
    ("GET", "//admin", "b", [("x-forwarded-for", "10.1.2.3,nonsense")]),
    ("GET", "/%61dmin", "a.example", [("x-user", "")]),
]


def policies() -> list[dict[str, Any]]:
    """Every permission with anybody, every principal with anything, and some of both."""
    rows = [(each, ANY) for each in PERMISSIONS] + [(ANY, each) for each in PRINCIPALS]
    rows += list(itertools.product(PERMISSIONS[1:12:3], PRINCIPALS[4:11:2]))
    return [{"permissions": [what], "principals": [who]} for what, who in rows]


def rules() -> list[dict[str, Any]]:
    made = [{"action": "ALLOW", "policies": {"p": each}} for each in policies()]
    made += [{"action": "DENY", "policies": {"p": each}} for each in policies()[::5]]
    two = dict(zip("ba", policies()[1:9:7], strict=True))
    made += [{"action": action, "policies": two} for action in ("ALLOW", "DENY", "LOG")]
    return [*made, {"action": "ALLOW", "policies": {}}, {"action": "DENY", "policies": {}}]


@pytest.mark.filterwarnings("ignore:.*deprecated")
def test_every_policy_decides_as_envoys(judge: Callable[..., Any]) -> None:
    cases = rules()
    per_route = "type.googleapis.com/envoy.extensions.filters.http.rbac.v3.RBACPerRoute"
    routes = [
        {
            "match": {
                "prefix": "/",
                "headers": [{"name": "case", "string_match": {"exact": str(number)}}],
            },
            "direct_response": {"status": 200},
            "typed_per_filter_config": {
                "rbac": {"@type": per_route, "rbac": {"rules": each}},
            },
        }
        for number, each in enumerate(cases)
    ]
    envoy = judge(
        {"name": "r", "virtual_hosts": [{"name": "v", "domains": ["*"], "routes": routes}]},
        filters=[{"name": "rbac", "typed_config": {"@type": TYPE}}],
    )
    different = []
    for number, case in enumerate(cases):
        engine = Engine(Rbac.from_dict(case))
        for method, target, host, headers in REQUESTS:
            sent = [("case", str(number)), *headers]
            theirs = envoy.request(target.partition("#")[0], method, host=host, headers=sent)
            assert theirs.status in (200, 403)
            facts = RequestFacts(
                RequestHead(method, "http", host, target.partition("#")[0], sent),
                direct="127.0.0.1",
                remote=forwarded(headers),
                local="127.0.0.1",
                port=envoy.port,
            )
            if engine.decide(facts).allowed is not (theirs.status == 200):
                different.append((case, method, target, host, headers, theirs.status))
    assert not different, "\n".join(map(str, different))


def forwarded(headers: list[tuple[str, str]]) -> str:
    given = [value for name, value in headers if name.lower() == "x-forwarded-for"]
    return last_address(",".join(given)) or "127.0.0.1"
