from __future__ import annotations

from collections.abc import Iterator, Sequence

import pytest
from envoy_data_plane.envoy.service.discovery.v3 import (
    DeltaDiscoveryRequest,
    DeltaDiscoveryResponse,
)
from envoy_data_plane.google.rpc import Status

from mesh.pilot.connection import Connection, Target, differences, version_of
from mesh.pilot.translate import CDS, EDS, LDS, RDS


def target(version: str, clusters: dict[str, bytes], routes: bytes = b"r") -> Target:
    endpoints = dict.fromkeys(clusters, b"e")
    return Target(version, {CDS: clusters, EDS: endpoints, LDS: {"l": b"l"}, RDS: {"t": routes}})


@pytest.fixture
def connection() -> Connection:
    return Connection(1, "id", "a.b", "envoy", target("1", {"x": b"1", "z": b"1"}))


def aim(connection: Connection, to: Target) -> None:
    connection.aim(to, differences(connection.target.packed, to.packed))


def ask(connection: Connection, url: str, *names: str, gone: Sequence[str] = ()) -> None:
    """Subscribe to names, and leave others."""
    connection.receive(
        DeltaDiscoveryRequest(
            type_url=url,
            resource_names_subscribe=list(names),
            resource_names_unsubscribe=list(gone),
        )
    )


def answer(connection: Connection, response: DeltaDiscoveryResponse, error: str = "") -> None:
    detail = Status(message=error) if error else None
    connection.receive(
        DeltaDiscoveryRequest(
            type_url=response.type_url, response_nonce=response.nonce, error_detail=detail
        )
    )


def changed(response: DeltaDiscoveryResponse | None) -> list[str]:
    assert response is not None
    return [each.name for each in response.resources]


def answers(connection: Connection, refuse: str = "") -> Iterator[DeltaDiscoveryResponse]:
    """Play a client that answers everything at once; ``refuse`` is a type URL.

    It asks for the endpoints of a new cluster, and leaves those of one that is gone.
    """
    while (response := connection.next_response()) is not None:
        yield response
        url = response.type_url
        answer(connection, response, "bad" if url == refuse else "")
        if url == CDS:
            names = set(changed(response)) - connection.states[EDS].names
            if names or response.removed_resources:
                ask(connection, EDS, *names, gone=response.removed_resources)


@pytest.fixture
def settled(connection: Connection) -> Connection:
    ask(connection, CDS)
    ask(connection, LDS)
    ask(connection, RDS, "t")
    assert [each.type_url for each in answers(connection)] == [CDS, EDS, LDS, RDS]
    assert connection.in_force
    return connection


def test_only_what_changed_is_sent(settled: Connection) -> None:
    aim(settled, target("2", {"x": b"2", "z": b"1"}))
    assert not settled.in_force
    sent = list(answers(settled))
    # A changed cluster warms until its endpoints come again.
    assert [(each.type_url, changed(each)) for each in sent] == [(CDS, ["x"]), (EDS, ["x"])]
    assert sent[0].resources[0].version == version_of(b"2")
    assert settled.in_force


def test_a_new_cluster_comes_first_and_an_old_one_leaves_last(settled: Connection) -> None:
    aim(settled, target("2", {"y": b"1", "z": b"1"}, routes=b"new"))
    sent = [(each.type_url, changed(each), each.removed_resources) for each in answers(settled)]
    assert sent == [
        (CDS, ["y"], []),
        (EDS, ["y"], []),
        (RDS, ["t"], []),
        (CDS, [], ["x"]),
    ]
    assert settled.in_force
    assert settled.states[EDS].names == {"y", "z"}


def test_routes_wait_for_the_clusters_answer(settled: Connection) -> None:
    aim(settled, target("2", {"x": b"2", "z": b"1"}, routes=b"new"))
    first = settled.next_response()
    endpoints = settled.next_response()
    assert first is not None
    assert endpoints is not None
    assert (first.type_url, endpoints.type_url) == (CDS, EDS)
    answer(settled, endpoints)
    assert settled.next_response() is None
    answer(settled, first)
    routes = settled.next_response()
    assert routes is not None
    assert routes.type_url == RDS


def test_a_refusal_is_kept_and_nothing_is_sent_twice(settled: Connection) -> None:
    aim(settled, target("2", {"x": b"1", "z": b"1"}, routes=b"bad"))
    assert [each.type_url for each in answers(settled, refuse=RDS)] == [RDS]
    assert settled.in_force
    [nack] = settled.nacks()
    assert (nack.node, nack.type, nack.reason) == ("a.b", "RDS", "bad")
    assert settled.status().types == {
        "CDS": "SYNCED",
        "EDS": "SYNCED",
        "LDS": "SYNCED",
        "RDS": "STALE",
    }
    aim(settled, target("3", {"x": b"1", "z": b"1"}, routes=b"good"))
    assert [each.type_url for each in answers(settled)] == [RDS]
    assert settled.nacks() == ()


def test_what_was_refused_with_others_comes_again_with_the_next(settled: Connection) -> None:
    aim(settled, target("2", {"x": b"2", "z": b"bad"}))
    [first, *_] = answers(settled, refuse=CDS)
    assert changed(first) == ["x", "z"]
    assert settled.next_response() is None
    aim(settled, target("3", {"x": b"2", "z": b"good"}))
    [again, *_] = answers(settled)
    assert changed(again) == ["x", "z"]
    assert settled.in_force
    assert settled.nacks() == ()


def test_a_refusal_of_an_older_response_is_made_good_at_once(settled: Connection) -> None:
    aim(settled, target("2", {"x": b"bad", "z": b"1"}))
    first = settled.next_response()
    aim(settled, target("3", {"x": b"bad", "z": b"2"}))
    second = settled.next_response()
    assert first is not None
    assert second is not None
    assert (changed(first), changed(second)) == (["x"], ["z"])
    answer(settled, first, "bad")
    assert settled.nacks() == ()
    answer(settled, second)
    third = settled.next_response()
    assert changed(third) == ["x"]
    assert third is not None
    answer(settled, third, "bad")
    assert [each.type for each in settled.nacks()] == ["CDS"]


def test_an_answer_to_an_older_response_does_not_count(settled: Connection) -> None:
    aim(settled, target("2", {"x": b"1", "z": b"1"}, routes=b"new"))
    response = settled.next_response()
    assert response is not None
    old = DeltaDiscoveryResponse(type_url=RDS, nonce="1-1")
    answer(settled, old)
    assert not settled.in_force
    answer(settled, response)
    assert settled.in_force


def test_an_unchanged_type_is_not_sent(settled: Connection) -> None:
    aim(settled, target("2", {"x": b"1", "z": b"1"}))
    assert settled.next_response() is None
    assert settled.in_force


def test_a_change_that_is_taken_back_is_sent_when_the_first_was(settled: Connection) -> None:
    aim(settled, target("2", {"x": b"2", "z": b"1"}))
    aim(settled, target("3", {"x": b"1", "z": b"1"}))
    assert settled.next_response() is None
    aim(settled, target("4", {"x": b"2", "z": b"1"}))
    response = settled.next_response()
    aim(settled, target("5", {"x": b"1", "z": b"1"}))
    assert response is not None
    answer(settled, response)
    assert changed(settled.next_response()) == ["x"]


def test_who_comes_back_gets_what_is_another_one_by_then(connection: Connection) -> None:
    for url, versions in (
        (CDS, {"x": version_of(b"1"), "z": version_of(b"0"), "old": "1"}),
        (EDS, {"x": version_of(b"e"), "z": version_of(b"e"), "old": "1"}),
        (LDS, {"l": version_of(b"l")}),
        (RDS, {"t": version_of(b"r")}),
    ):
        names = list(versions) if url in (EDS, RDS) else []
        connection.receive(
            DeltaDiscoveryRequest(
                type_url=url, resource_names_subscribe=names, initial_resource_versions=versions
            )
        )
    sent = [(each.type_url, changed(each), each.removed_resources) for each in answers(connection)]
    assert sent == [
        (CDS, ["z"], []),
        (EDS, ["z"], []),
        (LDS, [], []),
        (RDS, [], []),
        (CDS, [], ["old"]),
    ]
    assert connection.in_force


def test_who_asks_again_is_told_again(settled: Connection) -> None:
    ask(settled, EDS, "x")
    response = settled.next_response()
    assert changed(response) == ["x"]
    assert response is not None
    answer(settled, response)
    ask(settled, EDS, gone=["x"])
    assert settled.next_response() is None
    assert not settled.in_force
    ask(settled, EDS, "x")
    assert changed(settled.next_response()) == ["x"]


def test_who_asks_for_what_does_not_exist_is_told_so(settled: Connection) -> None:
    ask(settled, EDS, "nobody")
    response = settled.next_response()
    assert response is not None
    assert (changed(response), response.removed_resources) == ([], ["nobody"])
    answer(settled, response)
    assert settled.next_response() is None
    aim(settled, target("2", {"x": b"1", "z": b"1", "nobody": b"1"}))
    assert [(each.type_url, changed(each)) for each in answers(settled)] == [
        (CDS, ["nobody"]),
        (EDS, ["nobody"]),
    ]
