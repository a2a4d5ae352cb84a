from __future__ import annotations

import math
import random

import pytest
from envoy_data_plane.envoy.config.cluster.v3 import OutlierDetection
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from mesh.sidecar.upstream.host import Host
from mesh.sidecar.upstream.outlier_config import OutlierConfig, compile_outlier_detection
from mesh.sidecar.upstream.outlier_detection import Event, Local, OutlierDetector


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def detector(config: OutlierConfig, count: int) -> tuple[OutlierDetector, list[Host], Clock]:
    hosts = [Host("10.0.0.1", number) for number in range(count)]
    clock = Clock()
    made = OutlierDetector(config, "c", random.Random(1), clock)
    made.update(hosts)
    return made, hosts, clock


def test_defaults_are_envoys() -> None:
    assert compile_outlier_detection(OutlierDetection()) == OutlierConfig()


def test_the_longest_ejection_is_not_below_the_base() -> None:
    from datetime import timedelta

    with pytest.raises(ValueError, match="cannot be smaller"):
        compile_outlier_detection(OutlierDetection(max_ejection_time=timedelta(seconds=1)))


@pytest.mark.parametrize(
    ("hosts", "percent", "ejected"),
    [
        (1, 100, 1),
        (1, 99, 0),
        (2, 10, 0),
        (2, 49, 0),
        (2, 50, 1),
        (10, 10, 1),
        (3, 67, 2),
        (4, 100, 4),
    ],
)
def test_the_cap_counts_the_one_to_come(hosts: int, percent: int, ejected: int) -> None:
    made, all_hosts, _ = detector(
        OutlierConfig(consecutive_5xx=1, max_ejection_percent=percent), hosts
    )
    for host in all_hosts:
        made.on_response(host, 500)
    assert sum(host.ejected for host in all_hosts) == ejected
    assert made.counters["ejections_overflow"] == hosts - ejected


def test_one_host_can_be_ejected_whatever_the_cap() -> None:
    config = OutlierConfig(consecutive_5xx=1, max_ejection_percent=0, always_eject_one_host=True)
    made, hosts, _ = detector(config, 3)
    for host in hosts:
        made.on_response(host, 500)
    assert [host.ejected for host in hosts] == [True, False, False]


def test_a_threshold_of_0_never_ejects() -> None:
    config = OutlierConfig(consecutive_5xx=0, max_ejection_percent=100)
    made, hosts, _ = detector(config, 1)
    for _ in range(20):
        made.on_response(hosts[0], 503)
    assert not hosts[0].ejected


@pytest.mark.parametrize(
    ("statuses", "ejected"),
    [
        ([502, 503, 504], True),
        ([502, 500, 503, 504], False),
        ([502, 503, 200, 504], False),
        ([500, 500, 500], False),
    ],
)
def test_gateway_failures_in_a_row(statuses: list[int], ejected: bool) -> None:
    enforcing = {**OutlierConfig().enforcing, "CONSECUTIVE_GATEWAY_FAILURE": 100}
    config = OutlierConfig(
        consecutive_gateway_failure=3, max_ejection_percent=100, enforcing=enforcing
    )
    made, hosts, _ = detector(config, 1)
    for status in statuses:
        made.on_response(hosts[0], status)
    assert hosts[0].ejected is ejected


@pytest.mark.parametrize("split", [False, True])
def test_failures_of_local_origin(split: bool) -> None:
    config = OutlierConfig(
        consecutive_5xx=3,
        consecutive_local_origin_failure=2,
        split_local_origin=split,
        max_ejection_percent=100,
    )
    made, hosts, _ = detector(config, 1)
    for result in (Local.FAILED, Local.CONNECTED, Local.TIMEOUT):
        made.on_local(hosts[0], result)
    assert not hosts[0].ejected
    made.on_local(hosts[0], Local.FAILED)
    # Together: the third failure (a connection alone resets nothing); split: the second in a row.
    assert hosts[0].ejected
    kind = "local_origin_failure" if split else "5xx"
    assert made.counters[f"ejections_enforced_consecutive_{kind}"] == 1


def test_an_ejection_grows_and_ends_at_a_tick() -> None:
    config = OutlierConfig(
        consecutive_5xx=1,
        max_ejection_percent=100,
        interval=10.0,
        base_ejection_time=30.0,
        max_ejection_time=70.0,
    )
    made, hosts, clock = detector(config, 1)
    host = hosts[0]
    lasted = []
    for _ in range(4):
        clock.now += 1.0  # not on a tick
        made.on_response(host, 500)
        assert host.ejected
        start, ticks = clock.now, 0
        clock.now -= 1.0
        while host.ejected:
            clock.now += 10.0
            ticks += 1
            made.tick()
        lasted.append(clock.now - start)
    assert lasted == [39.0, 69.0, 79.0, 79.0]


def test_the_ejection_time_shrinks_while_the_host_is_well() -> None:
    config = OutlierConfig(consecutive_5xx=1, max_ejection_percent=100)
    made, hosts, clock = detector(config, 1)

    def eject() -> int:
        made.on_response(hosts[0], 500)
        ticks = 0
        while hosts[0].ejected:
            clock.now += 10.0
            made.tick()
            ticks += 1
        return ticks

    assert [eject(), eject()] == [3, 6]
    clock.now += 10.0
    made.tick()  # one interval without an ejection
    assert eject() == 6
    for _ in range(9):
        clock.now += 10.0
        made.tick()
    assert eject() == 3


def test_a_host_below_the_others() -> None:
    config = OutlierConfig(success_rate_request_volume=10, max_ejection_percent=100)
    events: list[Event] = []
    hosts = [Host("10.0.0.1", number) for number in range(5)]
    made = OutlierDetector(config, "c", random.Random(1), Clock(), events.append)
    made.update(hosts)
    for number, host in enumerate(hosts):
        for turn in range(10):
            made.on_response(host, 500 if number == 0 and turn % 2 else 200)
    made.tick()
    assert [host.ejected for host in hosts] == [True, False, False, False, False]
    assert events[0].fields["type"] == "SUCCESS_RATE"
    assert events[0].fields["eject_success_rate_event"] == {
        "cluster_average_success_rate": 90,
        "cluster_success_rate_ejection_threshold": 52,
        "host_success_rate": 50,
    }


@pytest.mark.parametrize(("failures", "ejected"), [(8, False), (9, True), (10, True)])
def test_failure_percentage(failures: int, ejected: bool) -> None:
    enforcing = {**OutlierConfig().enforcing, "FAILURE_PERCENTAGE": 100}
    config = OutlierConfig(
        consecutive_5xx=0,
        failure_percentage_minimum_hosts=1,
        failure_percentage_request_volume=10,
        max_ejection_percent=100,
        enforcing=enforcing,
    )
    made, hosts, _ = detector(config, 1)
    for turn in range(10):
        made.on_response(hosts[0], 500 if turn < failures else 200)
    made.tick()
    assert hosts[0].ejected is ejected


def test_enforcing_a_share_is_a_draw() -> None:
    enforcing = {**OutlierConfig().enforcing, "CONSECUTIVE_5XX": 30}
    config = OutlierConfig(consecutive_5xx=1, max_ejection_percent=100, enforcing=enforcing)
    made, hosts, _ = detector(config, 1000)
    for host in hosts:
        made.on_response(host, 500)
    ejected = sum(host.ejected for host in hosts)
    assert abs(ejected - 300) < 5 * math.sqrt(1000 * 0.3 * 0.7)


class Detection(RuleBasedStateMachine):
    """Any order of answers, ticks, failures and changes of the set keeps the books straight."""

    @initialize(
        count=st.integers(1, 5),
        percent=st.sampled_from([0, 10, 34, 50, 100]),
        threshold=st.integers(1, 3),
        always=st.booleans(),
        split=st.booleans(),
    )
    def start(self, count: int, percent: int, threshold: int, always: bool, split: bool) -> None:
        self.config = OutlierConfig(
            consecutive_5xx=threshold,
            consecutive_local_origin_failure=threshold,
            max_ejection_percent=percent,
            always_eject_one_host=always,
            split_local_origin=split,
        )
        self.events: list[Event] = []
        self.clock = Clock()
        self.hosts = [Host("10.0.0.1", number) for number in range(count)]
        self.made = OutlierDetector(
            self.config, "c", random.Random(1), self.clock, self.events.append
        )
        self.made.update(self.hosts)
        self.row = dict.fromkeys(self.hosts, 0)
        self.removed_ejected = 0

    @rule(index=st.integers(0, 4), status=st.sampled_from([200, 404, 500, 503]))
    def answer(self, index: int, status: int) -> None:
        host = self.hosts[index % len(self.hosts)]
        before = host.ejected
        self.made.on_response(host, status)
        if status < 500:
            self.row[host] = 0
            assert host.ejected is before
        else:
            self.row[host] += 1
            if self.config.split_local_origin and not before and host.ejected:
                assert self.row[host] >= self.config.consecutive_5xx

    @rule(index=st.integers(0, 4), result=st.sampled_from(Local))
    def local(self, index: int, result: Local) -> None:
        self.made.on_local(self.hosts[index % len(self.hosts)], result)

    @rule()
    def tick(self) -> None:
        self.clock.now += self.config.interval
        self.made.tick()

    @precondition(lambda self: len(self.hosts) > 1)
    @rule()
    def remove(self) -> None:
        gone = self.hosts.pop()
        self.removed_ejected += gone.ejected
        self.made.update(self.hosts)

    @rule()
    def add(self) -> None:
        if len(self.hosts) < 8:
            self.hosts.append(Host("10.0.0.2", len(self.hosts)))
            self.row[self.hosts[-1]] = 0
            self.made.update(self.hosts)

    @invariant()
    def books(self) -> None:
        ejected = sum(host.ejected for host in self.hosts)
        assert self.made.counters["ejections_active"] == ejected
        out = sum(event.action == "EJECT" and event.enforced for event in self.events)
        back = sum(event.action == "UNEJECT" for event in self.events)
        assert out - back - self.removed_ejected == ejected
        assert self.made.counters["ejections_enforced_total"] == out

    @rule()
    def everybody_returns(self) -> None:
        self.clock.now += self.config.max_ejection_time
        self.made.tick()
        assert not any(host.ejected for host in self.hosts)


TestDetection = Detection.TestCase
TestDetection.settings = settings(max_examples=60)
