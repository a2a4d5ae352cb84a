"""Priorities, panic, weighted turns and outlier detection, judged by the real Envoy."""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from envoy_data_plane.envoy.config.cluster.v3 import Cluster, OutlierDetection

from mesh.envoy.admin import Admin
from mesh.sidecar.upstream.balancers import Context, make_balancer
from mesh.sidecar.upstream.host import hosts_from
from mesh.sidecar.upstream.outlier_config import compile_outlier_detection
from mesh.sidecar.upstream.outlier_detection import Event, OutlierDetector

pytestmark = pytest.mark.envoy

PLAIN = {
    "name": "r",
    "virtual_hosts": [
        {
            "name": "v",
            "domains": ["*"],
            "routes": [{"match": {"prefix": "/"}, "route": {"cluster": "up"}}],
        }
    ],
}


def endpoint(port: int, health: str = "HEALTHY", weight: int = 1) -> dict[str, Any]:
    address = {"socket_address": {"address": "127.0.0.1", "port_value": port}}
    return {
        "endpoint": {"address": address},
        "health_status": health,
        "load_balancing_weight": weight,
    }


def group(entries: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
    return {"lb_endpoints": entries, **more}


def make(groups: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
    assignment = {"cluster_name": "up", "endpoints": groups}
    return {"name": "up", "type": "STATIC", "load_assignment": assignment, **more}


def both(
    envoy: Any, config: dict[str, Any], count: int
) -> tuple[list[int | None], list[int | None]]:
    """Choose ``count`` times here and there; None: no healthy upstream."""
    cluster = Cluster.from_dict(config)
    assert cluster.load_assignment is not None
    hosts = hosts_from(cluster.load_assignment)
    balancer = make_balancer(cluster)
    balancer.update(hosts)
    rng = random.Random(7)
    ours, theirs = [], []
    for _ in range(count):
        host = balancer.choose(hosts, Context(), rng, lambda: 0.0)
        ours.append(host.port if host else None)
        answer = envoy.request()
        theirs.append(answer.json()["port"] if answer.status == 200 else None)
    return ours, theirs


BAD = "UNHEALTHY"
# Health of the hosts of each priority, panic threshold (percent, None: Envoy's default).
SHARES: list[tuple[list[list[str]], float | None]] = [
    ([["HEALTHY", BAD], ["HEALTHY"]], 0),
    ([["HEALTHY", BAD, BAD], ["HEALTHY"]], 0),
    ([[BAD, BAD], ["HEALTHY"]], 0),
    ([[BAD, BAD], [BAD]], 0),
    ([[BAD, BAD], [BAD]], None),
    ([["HEALTHY", BAD, BAD]], None),
    ([["HEALTHY", BAD, BAD]], 0),
    ([["HEALTHY", BAD]], None),
    ([["DEGRADED", "DEGRADED"], ["HEALTHY"]], 0),
    ([["HEALTHY", "DEGRADED"]], 0),
    ([["HEALTHY", BAD, BAD], ["HEALTHY", BAD, BAD]], None),
    ([["HEALTHY", BAD, BAD, BAD], ["HEALTHY", BAD, BAD, BAD]], 0),
]


@pytest.mark.parametrize("case", range(len(SHARES)))
def test_priorities_and_panic(
    case: int, judge: Callable[..., Any], backend: Callable[[], Any]
) -> None:
    priorities, threshold = SHARES[case]
    groups = [
        group([endpoint(backend().port, health) for health in healths], priority=number)
        for number, healths in enumerate(priorities)
    ]
    more: dict[str, Any] = {"lb_policy": "RANDOM"}
    if threshold is not None:
        more["common_lb_config"] = {"healthy_panic_threshold": {"value": threshold}}
    config = make(groups, **more)
    count = 400
    ours, theirs = both(judge(PLAIN, [config]), config, count)
    mine, other = Counter(ours), Counter(theirs)
    assert set(mine) == set(other)
    # 5.5 standard deviations of the difference of two shares of 1/2: below 1e-6 in all cases.
    assert max(abs(mine[port] - other[port]) for port in mine) < 5.5 * (count / 2) ** 0.5


@pytest.mark.parametrize("policy", ["ROUND_ROBIN", "LEAST_REQUEST"])
@pytest.mark.parametrize("weights", [[1, 1, 1], [3, 1], [1, 2, 5]])
def test_turns_by_weight(
    policy: str, weights: list[int], judge: Callable[..., Any], backend: Callable[[], Any]
) -> None:
    config = make(
        [group([endpoint(backend().port, weight=weight) for weight in weights])], lb_policy=policy
    )
    total = sum(weights)
    drawn = policy == "LEAST_REQUEST" and len(set(weights)) == 1
    # Of 60 draws none misses one of three hosts: 3 * (2/3) ** 60 is below 1e-9.
    ours, theirs = both(judge(PLAIN, [config]), config, 60 if drawn else 3 * total)
    if drawn:
        assert set(ours) == set(theirs)
        return
    wanted = sorted(weights)
    for turns in (ours, theirs):
        for start in range(0, 3 * total, total):
            assert sorted(Counter(turns[start : start + total]).values()) == wanted


def test_ejections_and_their_log(
    judge: Callable[..., Any], backend: Callable[[], Any], tmp_path: Path
) -> None:
    log = tmp_path / "ejections"
    detection = {"consecutive_5xx": 3, "interval": "1000s", "max_ejection_percent": 67}
    detection |= {"consecutive_gateway_failure": 2, "enforcing_consecutive_gateway_failure": 0}
    upstreams = [backend() for _ in range(3)]
    config = make(
        [group([endpoint(made.port) for made in upstreams])],
        outlier_detection=detection,
        common_lb_config={"healthy_panic_threshold": {"value": 0}},
    )
    manager = {"outlier_detection": {"event_log_path": str(log)}}
    envoy = judge(PLAIN, [config], cluster_manager=manager)
    del config["outlier_detection"]  # from_dict does not know the name consecutive_5xx
    cluster = Cluster.from_dict(config)
    assert cluster.load_assignment is not None
    cluster.outlier_detection = OutlierDetection(
        consecutive_5xx=3,
        max_ejection_percent=67,
        consecutive_gateway_failure=2,
        enforcing_consecutive_gateway_failure=0,
    )
    hosts = {host.port: host for host in hosts_from(cluster.load_assignment)}
    events: list[Event] = []
    detector = OutlierDetector(
        compile_outlier_detection(cluster.outlier_detection),
        "up",
        random.Random(1),
        lambda: 0.0,
        events.append,
    )
    detector.update(hosts.values())
    rng = random.Random(3)
    for made in upstreams:
        made.script += [(rng.choice([200, 500, 503, 502, 503]), {}) for _ in range(60)]
    for _ in range(60):
        before = [len(made.seen) for made in upstreams]
        answer = envoy.request()
        reached = [
            made for made, was in zip(upstreams, before, strict=True) if len(made.seen) > was
        ]
        assert len(reached) == 1
        detector.on_response(hosts[reached[0].port], answer.status)
        # Ejections happen on another thread of Envoy; its counters tell when they are through.
        detected = detector.counters["ejections_detected_consecutive_5xx"]
        name = "ejections_detected_consecutive_5xx"
        for _ in range(10_000):
            if envoy.stats("cluster.up.outlier_detection.").get(name, 0) >= detected:
                break
    theirs = envoy.stats("cluster.up.outlier_detection.")
    mine = {name: theirs[name] for name in detector.counters}
    assert mine == dict(detector.counters)
    assert detector.counters["ejections_active"] == 2
    Admin(envoy.admin).reopen_logs()
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    for line in lines:
        del line["timestamp"]
    assert lines == [event.fields for event in events]
