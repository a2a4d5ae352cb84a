"""What the page shows, as pure functions of what the mesh says."""

from __future__ import annotations

from dataclasses import replace

import pytest
import yaml

pytest.importorskip("dash", reason="the console's packages are not installed (make test does)")

from mesh.console import graph_view
from mesh.console.chaos import with_fault
from mesh.console.history import SAMPLES, History
from mesh.console.request_view import waterfall
from mesh.mixer.graph import Edge, Graph, Node


def node(name: str, version: str = "", kind: str = "workload") -> Node:
    return Node(f"{kind}:{name}:{version}", kind, name, "tutorial", name, version)


GATE, A = node("gate", kind="gateway"), node("a", "v1")
B1, B2 = node("b", "v1"), node("b", "v2")


def edge(source: Node, target: Node, share: float = 1.0, **more: object) -> Edge:
    fields: dict[str, object] = {
        "requests": 10,
        "errors": 0,
        "rate": 2.0,
        "error_rate": 0.0,
        "p50": 1.0,
        "p99": 9.0,
        "mtls": None,
        "mirrored": False,
        "codes": {},
        "flags": {},
    } | more
    return Edge(source.id, target.id, target.name, share=share, **fields)  # type: ignore[arg-type]


GRAPH = Graph(
    (A, B1, B2, GATE),
    (
        edge(GATE, A, mtls=True),
        edge(A, B1, 0.9),
        edge(A, B2, 0.1, errors=3, error_rate=0.3),
        edge(A, B2, 0.0, mirrored=True),
    ),
    0.0,
    5.0,
)


def test_columns_follow_the_calls() -> None:
    places = graph_view.positions(GRAPH)
    assert places[GATE.id]["x"] < places[A.id]["x"] < places[B1.id]["x"] == places[B2.id]["x"]
    assert places[B1.id]["y"] != places[B2.id]["y"]


def test_the_page_says_how_many_records_went() -> None:
    assert graph_view.note(replace(GRAPH, records=7)) == "7 records read"
    assert graph_view.note(replace(GRAPH, records=1_000_000, forgotten=980_000)) == (
        "1,000,000 records read; the oldest 980,000 are gone and count in these figures only, "
        "the newest 20,000 are kept one by one"
    )


def test_a_cycle_has_places_too() -> None:
    ring = Graph((A, B1), (edge(A, B1), edge(B1, A)), 0.0, 1.0)
    assert set(graph_view.positions(ring)) == {A.id, B1.id}


def test_the_table_says_what_the_picture_says() -> None:
    drawn = [each for each in graph_view.elements(GRAPH) if "source" in each["data"]]
    assert len(drawn) == len(graph_view.rows(GRAPH)) == 4
    assert len({each["data"]["id"] for each in drawn}) == 4
    assert "🔒" in drawn[0]["data"]["label"]
    assert "90%" in drawn[1]["data"]["label"]
    assert "failing" in drawn[2]["classes"]
    assert "mirror" in drawn[3]["classes"]
    assert graph_view.rows(GRAPH)[2] == (
        "a v1",
        "b v2",
        "2.0",
        "10",
        "10.0%",
        "30.0%",
        "1",
        "9",
        "unknown",
    )


def test_the_waterfall_has_a_bar_for_each_sidecar() -> None:
    hop = {"pod": "p", "direction": "inbound", "response_flags": "-", "duration_ms": 5}
    hops = [
        {**hop, "start_time": "2026-01-01T00:00:00.000+00:00", "response_code": 200},
        {**hop, "start_time": "2026-01-01T00:00:00.250+00:00", "response_code": 503},
    ]
    (bar,) = waterfall(hops, dark=False).data
    assert list(bar.base) == [0.0, pytest.approx(250.0)]
    assert len(set(bar.marker.color)) == 2
    assert waterfall([], dark=True).data[0].x in ((), None, [])


def test_history_forgets_the_oldest() -> None:
    history = History()
    for moment in range(SAMPLES + 50):
        history.add(float(moment), GRAPH)
    assert len(history.samples) == SAMPLES
    assert history.samples[0].moment == 50.0
    names = {line.name for line in history.figure(0, "rate", dark=False).data}
    assert names == {"gate → a v1", "a v1 → b v1", "a v1 → b v2"}


ROW = {
    "kind": "VirtualService",
    "namespace": "tutorial",
    "name": "b",
    "text": "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: b}\n"
    "spec: {hosts: [b], http: [{route: [{destination: {host: b, subset: v1}}]}]}\n",
}


def test_a_fault_is_written_into_the_routes_there_are() -> None:
    change = with_fault([ROW], "b", "tutorial", "delay", "v1")
    changed, before = yaml.safe_load(change.text), yaml.safe_load(change.undo_text)
    assert changed["spec"]["http"][0]["fault"]["delay"]["fixedDelay"] == "7s"
    assert before == yaml.safe_load(str(ROW["text"]))
    assert change.undo_delete is None


def test_a_fault_leaves_texts_and_numbers_what_they_are() -> None:
    text = (
        str(ROW["text"]).replace("subset: v1", "subset: '12e4'").replace("name: b", "name: yes_b")
    )
    row = {**ROW, "name": "yes_b", "text": f"{text}---\n{{on: 1}}\n"}
    change = with_fault([row], "b", "tutorial", "delay", "v1")
    for made in (change.text, change.undo_text):
        assert "subset: '12e4'" in made
        assert "*id" not in made


def test_a_service_without_routes_gets_some() -> None:
    change = with_fault([ROW], "a", "tutorial", "abort", "v1beta1")
    made = yaml.safe_load(change.text)
    assert made["spec"]["hosts"] == ["a"]
    assert made["apiVersion"].endswith("v1beta1")
    assert change.undo_delete == ("VirtualService", "tutorial", made["metadata"]["name"])
