from __future__ import annotations

from collections.abc import Iterator

import pytest
from envoy_data_plane.envoy.service.discovery.v3 import DiscoveryRequest, DiscoveryResponse
from envoy_data_plane.google.rpc import Status

from mesh.pilot.connection import Connection, Target
from mesh.pilot.translate import CDS, EDS, LDS, RDS


def target(version: str, clusters: dict[str, bytes], routes: bytes = b"r") -> Target:
    names = frozenset(clusters)
    endpoints = dict.fromkeys(names, b"e")
    packed = {CDS: clusters, EDS: endpoints, LDS: {"l": b"l"}, RDS: {"t": routes}}
    return Target(version, packed, names, frozenset({"t"}))


@pytest.fixture
def connection() -> Connection:
    return Connection(1, "id", "a.b", "envoy", target("1", {"x": b"1"}))


def ask(connection: Connection, url: str, *names: str, nonce: str = "", error: str = "") -> None:
    request = DiscoveryRequest(type_url=url, resource_names=list(names), response_nonce=nonce)
    if nonce:
        request.version_info = connection.target.version
    if error:
        request.error_detail = Status(message=error)
    connection.receive(request)


def answers(connection: Connection, *names: str, refuse: str = "") -> Iterator[DiscoveryResponse]:
    """Play a client that answers everything at once; ``refuse`` is a type URL."""
    while (response := connection.next_response()) is not None:
        yield response
        url = response.type_url
        asked = names if url == EDS else ("t",) if url == RDS else ()
        ask(connection, url, *asked, nonce=response.nonce, error="bad" if url == refuse else "")


@pytest.fixture
def settled(connection: Connection) -> Connection:
    for url, names in ((CDS, ()), (EDS, ("x",)), (LDS, ()), (RDS, ("t",))):
        ask(connection, url, *names)
    assert [each.type_url for each in answers(connection, "x")] == [CDS, EDS, LDS, RDS]
    assert connection.in_force
    return connection


def test_a_new_cluster_comes_first_and_an_old_one_leaves_last(settled: Connection) -> None:
    settled.target = target("2", {"y": b"1"}, routes=b"new")
    assert not settled.in_force
    sent = []
    while (response := settled.next_response()) is not None:
        sent.append((response.type_url, len(response.resources)))
        url = response.type_url
        names = {EDS: ("x", "y"), RDS: ("t",)}.get(url, ())
        ask(settled, url, *names, nonce=response.nonce)
    assert [each for each in sent if each[0] == CDS] == [(CDS, 2), (CDS, 1)]
    assert sent[-1] == (CDS, 1)
    assert (RDS, 1) in sent
    assert settled.in_force


def test_routes_wait_for_the_clusters_answer(settled: Connection) -> None:
    settled.target = target("2", {"x": b"2"}, routes=b"new")
    first = settled.next_response()
    endpoints = settled.next_response()
    assert first is not None
    assert endpoints is not None
    assert (first.type_url, endpoints.type_url) == (CDS, EDS)
    ask(settled, EDS, "x", nonce=endpoints.nonce)
    assert settled.next_response() is None
    ask(settled, CDS, nonce=first.nonce)
    routes = settled.next_response()
    assert routes is not None
    assert routes.type_url == RDS


def test_a_refusal_is_kept_and_nothing_is_sent_twice(settled: Connection) -> None:
    settled.target = target("2", {"x": b"1"}, routes=b"bad")
    assert [each.type_url for each in answers(settled, "x", refuse=RDS)] == [RDS]
    assert settled.in_force
    [nack] = settled.nacks()
    assert (nack.node, nack.type, nack.reason) == ("a.b", "RDS", "bad")
    assert settled.status().types == {
        "CDS": "SYNCED",
        "EDS": "SYNCED",
        "LDS": "SYNCED",
        "RDS": "STALE",
    }
    settled.target = target("3", {"x": b"1"}, routes=b"good")
    assert [each.type_url for each in answers(settled, "x")] == [RDS]
    assert settled.nacks() == ()


def test_an_answer_to_an_older_response_does_not_count(settled: Connection) -> None:
    settled.target = target("2", {"x": b"1"}, routes=b"new")
    response = settled.next_response()
    assert response is not None
    ask(settled, RDS, "t", nonce="1-1")
    assert not settled.in_force
    ask(settled, RDS, "t", nonce=response.nonce)
    assert settled.in_force


def test_an_unchanged_type_is_not_sent(settled: Connection) -> None:
    settled.target = target("2", {"x": b"1"})
    assert settled.next_response() is None
    assert settled.in_force
