"""Hops of one request: by the clock, and within one tick of it by cause and effect."""

from __future__ import annotations

import itertools

from mesh.testbed.hops import Hop, in_order

PLACES = {"127.0.0.1:1": "customer-0", "127.0.0.1:2": "preference-0"}


def hop(pod: str, direction: str, upstream: str, start: str = "t0", tried: str = "") -> Hop:
    return {
        "pod": pod,
        "direction": direction,
        "upstream_host": upstream,
        "upstream_hosts_attempted": tried,
        "start_time": start,
    }


CHAIN = [
    hop("gateway-0", "outbound", "127.0.0.1:1"),
    hop("customer-0", "inbound", "/app.sock"),
    hop("customer-0", "outbound", "127.0.0.1:9", tried="127.0.0.1:2,127.0.0.1:9"),
    hop("preference-0", "inbound", "/app.sock"),
]


def test_one_tick_is_ordered_by_cause_however_it_was_read() -> None:
    for mixed in itertools.permutations(CHAIN):
        assert in_order(mixed, PLACES) == CHAIN


def test_the_clock_goes_first() -> None:
    late = hop("gateway-0", "outbound", "127.0.0.1:1", "t1")
    early = hop("customer-0", "inbound", "/app.sock", "t0")
    assert in_order([late, early], PLACES) == [early, late]


def test_a_circle_ends() -> None:
    one = hop("customer-0", "outbound", "127.0.0.1:1")
    other = hop("customer-0", "inbound", "/app.sock")
    assert len(in_order([one, other], PLACES)) == 2
