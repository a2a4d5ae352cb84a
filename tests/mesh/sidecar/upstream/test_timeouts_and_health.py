from __future__ import annotations

import random
from typing import Any

import pytest
from envoy_data_plane.envoy.config.core.v3 import HealthCheck

from mesh.sidecar.filters.head import RequestHead
from mesh.sidecar.upstream import timeouts
from mesh.sidecar.upstream.health import Check, HealthState, compile_health_check
from mesh.sidecar.upstream.health_checker import contains
from mesh.sidecar.upstream.host import Host


@pytest.mark.parametrize(
    ("route", "per_try", "elapsed", "expected"),
    [
        (None, None, 0.0, None),
        (3.0, None, 0.0, 3000),
        (3.0, None, 1.25, 1750),
        (3.0, 1.0, 0.0, 1000),
        (3.0, 1.0, 2.5, 500),
        (3.0, 1.0, 3.0, 1),
        (None, 1.0, 9.0, 1000),
        (3.0, 3.0, 0.0, 3000),  # not below the route's: ignored
    ],
)
def test_what_is_left_is_told(
    route: float | None, per_try: float | None, elapsed: float, expected: int | None
) -> None:
    assert timeouts.decide(route, per_try).expected_ms(elapsed) == expected


def test_a_per_try_timeout_must_be_below_the_routes() -> None:
    assert timeouts.decide(2.0, 2.0) == timeouts.Timeouts(2.0, None)
    assert timeouts.decide(2.0, 1.0) == timeouts.Timeouts(2.0, 1.0)
    assert timeouts.decide(None, 5.0) == timeouts.Timeouts(None, 5.0)
    assert timeouts.decide(2.0).deadline(10.0) == 12.0
    assert timeouts.decide(None).deadline(10.0) is None


def test_headers_of_a_trusted_caller() -> None:
    headers = [(timeouts.GLOBAL, "500"), (timeouts.PER_TRY, "100")]
    head = RequestHead("GET", "http", "a", "/", headers)
    assert timeouts.decide(3.0, None, None, head) == timeouts.Timeouts(0.5, 0.1)
    off = RequestHead("GET", "http", "a", "/", [(timeouts.GLOBAL, "0")])
    assert timeouts.decide(3.0, None, None, off) == timeouts.Timeouts()
    bad = RequestHead("GET", "http", "a", "/", [(timeouts.GLOBAL, "soon")])
    assert timeouts.decide(3.0, None, None, bad) == timeouts.Timeouts(3.0)


def checked(**more: Any) -> tuple[HealthState, Host]:
    config = {
        "interval": "5s",
        "timeout": "1s",
        "unhealthy_threshold": 2,
        "healthy_threshold": 3,
        "http_health_check": {
            "path": "/healthz",
            "retriable_statuses": [{"start": 500, "end": 501}],
        },
        **more,
    }
    host = Host("10.0.0.1", 1)
    return HealthState(compile_health_check(HealthCheck.from_dict(config)), host), host


def test_no_traffic_before_the_first_success() -> None:
    state, host = checked()
    assert not host.available
    assert state.on_check(Check.SUCCESS)
    assert host.available


def test_thresholds_and_the_status_that_counts_at_once() -> None:
    state, host = checked()
    state.on_check(Check.SUCCESS)
    assert [state.on_check(Check.NETWORK) for _ in range(2)] == [False, True]
    assert not host.available
    assert [state.on_check(Check.SUCCESS) for _ in range(3)] == [False, False, True]
    assert state.on_check(Check.STATUS)
    state.on_check(Check.SUCCESS)
    state.on_check(Check.NETWORK)
    assert [state.on_check(Check.SUCCESS) for _ in range(3)] == [False, False, True]


LEAST: dict[str, Any] = {
    "interval": "5s",
    "timeout": "1s",
    "unhealthy_threshold": 1,
    "healthy_threshold": 1,
}


def test_statuses() -> None:
    config = compile_health_check(
        HealthCheck.from_dict(
            {
                **LEAST,
                "http_health_check": {
                    "path": "/",
                    "expected_statuses": [{"start": 200, "end": 300}],
                    "retriable_statuses": [{"start": 500, "end": 501}],
                },
            }
        )
    )
    outcomes = [config.outcome(status) for status in (200, 299, 300, 500, 503)]
    assert outcomes == [Check.SUCCESS, Check.SUCCESS, Check.STATUS, Check.NETWORK, Check.STATUS]


def test_intervals_at_the_edges() -> None:
    state, _ = checked(
        unhealthy_interval="2s",
        unhealthy_edge_interval="1s",
        healthy_edge_interval="3s",
        no_traffic_healthy_interval="70s",
    )
    rng = random.Random(1)

    def after(check: Check, *, traffic: bool = True) -> float:
        state.on_check(check)
        return state.next_interval(rng, check is Check.SUCCESS, had_traffic=traffic)

    assert after(Check.SUCCESS) == 5.0
    assert after(Check.NETWORK) == 1.0  # one of two
    assert after(Check.NETWORK) == 2.0
    assert after(Check.SUCCESS) == 3.0  # one of three
    assert after(Check.SUCCESS) == 3.0
    assert after(Check.SUCCESS) == 5.0
    assert after(Check.SUCCESS, traffic=False) == 70.0
    assert after(Check.NETWORK, traffic=False) == 60.0


@pytest.mark.parametrize(
    ("config", "text"),
    [
        ({**LEAST, "grpc_health_check": {}}, "only HTTP and TCP"),
        ({**LEAST, "timeout": None, "tcp_health_check": {}}, "timeout is needed"),
        ({**LEAST, "healthy_threshold": 0, "tcp_health_check": {}}, "healthy_threshold is needed"),
        ({**LEAST, "http_health_check": {}}, "needs a path"),
    ],
)
def test_what_cannot_be_executed_is_refused(config: dict[str, Any], text: str) -> None:
    given = {name: value for name, value in config.items() if value is not None}
    with pytest.raises(ValueError, match=text):
        compile_health_check(HealthCheck.from_dict(given))


def test_what_a_tcp_check_has_to_receive() -> None:
    assert contains(b"+PONG\r\nOK", [b"PONG", b"OK"])
    assert not contains(b"OK PONG", [b"PONG", b"OK"])
    assert not contains(b"AA", [b"A", b"AA"])
