"""Which services' callers connect anew after a change."""

from __future__ import annotations

import pytest

from mesh.pilot.node import ProxyNode
from mesh.pilot.registry import GENERATION, Registry
from mesh.pilot.renewal import concerned
from mesh.pilot.translate.messages import LDS

HOST = "backend.tutorial.svc.cluster.local"


def node(gateway_ports: dict[int, int] | None = None) -> ProxyNode:
    ports = gateway_ports or {}
    return ProxyNode("backend-v1-0", "tutorial", services=(HOST,), gateway_ports=ports)


def renewed(found: ProxyNode, old: dict[str, bytes], new: dict[str, bytes]) -> set[str]:
    return concerned({"x": found}, {"x": {LDS: old}}, {"x": {LDS: new}})


@pytest.mark.parametrize(
    ("old", "new", "wanted"),
    [
        ({"virtualInbound": b"1"}, {"virtualInbound": b"1"}, set()),
        ({"virtualInbound": b"1"}, {"virtualInbound": b"2"}, {HOST}),
        ({"virtualInbound_9000": b"1"}, {}, {HOST}),
        ({}, {"virtualInbound": b"1"}, set()),
        ({"http_proxy": b"1"}, {"http_proxy": b"2"}, set()),
    ],
    ids=["the same", "changed", "gone", "new", "outbound"],
)
def test_changed_inbound_listeners_concern_the_services_callers(
    old: dict[str, bytes], new: dict[str, bytes], wanted: set[str]
) -> None:
    assert renewed(node(), old, new) == wanted


def test_every_listener_of_a_gateway_is_called_by_others() -> None:
    gateway = node(gateway_ports={80: 15080})
    assert renewed(gateway, {"0.0.0.0_80": b"1"}, {"0.0.0.0_80": b"2"}) == {HOST}


def test_a_node_that_had_nothing_yet_concerns_nobody() -> None:
    assert concerned({"x": node()}, {}, {"x": {LDS: {"virtualInbound": b"1"}}}) == set()


def test_a_renewed_service_has_another_generation() -> None:
    registry = Registry()
    assert registry.generation(HOST) == 0
    registry.renew(HOST)
    assert registry.generation(HOST) == 1
    assert registry.take_changed() == {(GENERATION, HOST)}
