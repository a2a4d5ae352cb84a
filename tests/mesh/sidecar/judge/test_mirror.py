"""The authority of shadows and the time told to the next hop, judged by the real Envoy."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest
from envoy_data_plane.envoy.config.route.v3 import RouteActionRequestMirrorPolicy

from mesh.sidecar.filters.mirror import compile_mirror, decide
from mesh.sidecar.upstream.timeouts import EXPECTED
from mesh.sidecar.upstream.timeouts import decide as timeouts_of

pytestmark = pytest.mark.envoy

AUTHORITIES = [
    "a",
    "a:80",
    "a.b.c",
    "10.0.0.1",
    "10.0.0.1:80",
    "[::1]",
    "[::1]:80",
    "1.2.3",
    "a:b",
    "a:",
    "a:b:80",
    "[::1]:",
]
POLICIES: list[dict[str, Any]] = [
    {"cluster": "shadow"},
    {"cluster": "shadow", "disable_shadow_host_suffix_append": True},
    {"cluster": "shadow", "host_rewrite_literal": "other:1"},
]


def cluster(name: str, port: int) -> dict[str, Any]:
    endpoint = {"address": {"socket_address": {"address": "127.0.0.1", "port_value": port}}}
    assignment = {"cluster_name": name, "endpoints": [{"lb_endpoints": [{"endpoint": endpoint}]}]}
    return {"name": name, "type": "STATIC", "load_assignment": assignment}


def configuration(action: dict[str, Any]) -> dict[str, Any]:
    route = {"match": {"prefix": "/"}, "route": {"cluster": "up", **action}}
    return {"name": "r", "virtual_hosts": [{"name": "v", "domains": ["*"], "routes": [route]}]}


@pytest.mark.parametrize("policy", POLICIES)
def test_authority_of_shadows(
    policy: dict[str, Any], judge: Callable[..., Any], backend: Callable[[], Any]
) -> None:
    up, shadow = backend(), backend()
    clusters = [cluster("up", up.port), cluster("shadow", shadow.port)]
    envoy = judge(configuration({"request_mirror_policies": [policy]}), clusters)
    compiled = compile_mirror(RouteActionRequestMirrorPolicy.from_dict(policy))
    rng = random.Random(1)
    different = []
    for number, authority in enumerate(AUTHORITIES):
        assert envoy.request(host=authority).status == 200
        for _ in range(100_000):  # the shadow is on its way: its counter tells when it is through
            if envoy.stats("cluster.shadow.").get("upstream_rq_completed", 0) > number:
                break
        theirs = dict(shadow.seen[-1]["headers"])["host"]
        ours = decide((compiled,), authority, rng)[0].authority
        if ours != theirs:
            different.append((authority, "ours", ours, "Envoy", theirs))
    assert not different, different


@pytest.mark.parametrize(
    ("route", "per_try"),
    [("3s", None), ("0s", None), ("3s", "1s"), ("0s", "1s"), ("1s", "3s"), ("1s", "1s")],
)
def test_expected_timeout(
    route: str, per_try: str | None, judge: Callable[..., Any], backend: Callable[[], Any]
) -> None:
    action: dict[str, Any] = {"timeout": route}
    if per_try is not None:
        action["retry_policy"] = {"retry_on": "5xx", "per_try_timeout": per_try}
    envoy = judge(configuration(action), [cluster("up", backend().port)])
    theirs = dict(envoy.request().json()["headers"]).get(EXPECTED)
    seconds = [float(text.rstrip("s")) or None if text else None for text in (route, per_try)]
    expected = timeouts_of(*seconds).expected_ms(0.0)
    assert theirs == (None if expected is None else str(expected))
