import asyncio
import json
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from mesh.accesslog import AccessLogRecord
from mesh.mixer.follow import CHUNK, Follower
from mesh.mixer.graph import Graph
from mesh.mixer.percentile import bucket, percentile
from mesh.mixer.report import Report, sampled
from tests.mesh.mixer.traffic import PODS, feed, inbound, outbound

Line = Callable[[AccessLogRecord], bytes]


def samples(text: str, name: str) -> dict[tuple[str, str, str], float]:
    """(reporter, source, destination) -> value."""
    return {
        (
            s.labels["reporter"],
            s.labels["source_workload"],
            s.labels["destination_workload"],
        ): s.value
        for family in text_string_to_metric_families(text)
        for s in family.samples
        if s.name == name
    }


@pytest.fixture
def report(state: dict[str, object]) -> Report:
    made = Report(kept=3)
    made.update(state)
    return made


def test_metrics_are_what_the_records_say(report: Report, line: Line) -> None:
    for _ in range(3):
        report.take("a-0", line(outbound()))
        report.take("b-1", line(inbound()))
    report.take("a-0", line(outbound(to="127.0.0.1:1003", response_code=503, bytes_sent=7)))
    text = report.metrics().decode()
    assert samples(text, "istio_requests_total") == {
        ("source", "a-v1", "b-v1"): 3,
        ("source", "a-v1", "b-v2"): 1,
        ("destination", "a-v1", "b-v1"): 3,
    }
    assert samples(text, "istio_request_duration_milliseconds_count")["source", "a-v1", "b-v1"] == 3
    assert samples(text, "istio_request_duration_milliseconds_sum")["source", "a-v1", "b-v1"] == 15
    assert samples(text, "istio_response_bytes_sum")["source", "a-v1", "b-v2"] == 7
    assert 'le="5"' in text and 'le="3600000"' in text
    assert ("source", "a-v1", "b-v1") not in samples(
        report.metrics("b-1").decode(), "istio_requests_total"
    )


def test_the_newest_records_stay_and_the_others_are_counted(report: Report, line: Line) -> None:
    for number in range(5):
        report.take("a-0", line(outbound(request_id=f"r{number}")))
    assert (report.read, report.forgotten) == (5, 2)
    assert report.records("r1") == []
    (found,) = report.records("r4")
    assert found.request_id == "r4"
    graph = report.graph()
    assert (graph.records, graph.forgotten, graph.edges[0].requests) == (5, 2, 5)


def test_connections_are_no_requests(report: Report, line: Line) -> None:
    report.take("a-0", line(outbound(method="CONNECT")))
    report.take("a-0", line(outbound(method="", response_code=0)))
    report.take("a-0", line(outbound(method="", response_code=400)))  # a head not understood
    assert report.read == 3
    assert sum(edge.requests for edge in report.graph().edges) == 1


def test_a_line_that_is_no_record_is_counted_apart(report: Report) -> None:
    report.take("a-0", b'{"cut": ')
    report.take("a-0", b"[]")
    assert (report.read, report.unreadable) == (0, 2)


def test_memory_does_not_grow_with_the_records(tmp_path: Path, line: Line) -> None:
    """The 200 kept lines are full after a twentieth of these."""
    made = Report(kept=200)
    made.update(feed(PODS, str(tmp_path)))
    text = b"\n".join([line(outbound(request_id="x" * 36)), line(outbound(duration=777))]) + b"\n"
    path = tmp_path / "a-0.jsonl"
    path.write_bytes(text * 200)
    asyncio.run(made.read_logs())
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    with path.open("ab") as file:
        file.write(text * 1_800)
    asyncio.run(made.read_logs())
    after = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert made.read == 4_000
    assert after - before < 400_000  # the 200 kept lines are new ones


def test_labels_without_end_are_dropped_and_counted(state: dict[str, object], line: Line) -> None:
    report = Report(max_series=40)
    report.update(state)
    for number in range(12):
        report.take("a-0", line(outbound(to="", upstream_cluster="", authority=f"h{number}.x")))
    assert report.meter.dropped == 8
    assert "mixer_samples_dropped_total 8.0" in report.metrics().decode()


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"trace_id": "t", "b3_sampled": "1"}, True),
        ({"trace_id": "t", "b3_sampled": "0", "request_id": "00000000-0000-9000"}, False),
        ({"trace_id": "t", "request_id": "2ebb7e50-36c5-9115-8baa-cee0b00e9cb3"}, True),
        ({"trace_id": "t", "request_id": "2ebb7e50-36c5-4115-8baa-cee0b00e9cb3"}, False),
        ({"trace_id": "t", "request_id": "mine, not a uuid"}, False),
        ({"trace_id": "t", "traceparent": "00-0af7-b7ad-01", "request_id": "x"}, True),
        ({"request_id": "2ebb7e50-36c5-9115-8baa-cee0b00e9cb3"}, False),
    ],
)
def test_sampled(fields: dict[str, str], expected: bool) -> None:
    assert sampled(outbound(**fields)) is expected


def test_the_graph_counts_each_request_once(report: Report, line: Line) -> None:
    for _ in range(3):
        report.take("a-0", line(outbound()))
        report.take("b-1", line(inbound()))
    report.take("a-0", line(outbound(to="127.0.0.1:1003", response_code=503)))
    report.take("b-2", line(inbound("b-2", response_code=503)))
    report.take("b-2", line(inbound("b-2", authority="b-shadow:8080")))  # a copy
    report.take("b-2", line(inbound("b-2", peer="")))  # somebody outside
    report.take("a-0", line(outbound(to="", response_code=503, response_flags="UH,URX")))
    graph = report.graph()
    found = {
        (e.source, e.destination.rpartition(":")[2] or "service", e.mirrored): e
        for e in graph.edges
    }
    a = "workload:a-v1.tutorial:v1"
    assert {key: edge.requests for key, edge in found.items()} == {
        (a, "v1", False): 3,
        (a, "v2", False): 1,
        (a, "v2", True): 1,
        (a, "b.tutorial.svc.cluster.local", False): 1,
        ("outside", "v2", False): 1,
    }
    assert found[a, "v1", False].share == 0.6
    assert found[a, "v2", False].error_rate == 1.0
    assert found[a, "v2", True].share == 0.0
    assert found[a, "v1", False].mtls is False
    assert found[a, "b.tutorial.svc.cluster.local", False].flags == {"UH": 1, "URX": 1}
    assert Graph.from_dict(json.loads(json.dumps(graph.as_dict()))) == graph


def test_the_graph_counts_the_tries_of_a_request(report: Report, line: Line) -> None:
    """Each try is in the log of the pod that got it, the request once in its client's."""
    for code in (503, 503, 200):
        report.take("b-1", line(inbound(response_code=code)))
    report.take("a-0", line(outbound()))
    [edge] = report.graph().edges
    assert (edge.requests, edge.tries, edge.errors) == (1, 3, 0)


def test_a_graph_of_the_last_seconds(report: Report, line: Line) -> None:
    for second in (0, 10, 50, 40, 59):  # logs of several pods are read one after another
        when = f"2026-01-01T00:00:{second:02d}.500000Z"
        report.take("a-0", line(outbound(start_time=when)))
    assert report.graph().edges[0].requests == 5
    assert report.graph(20).edges[0].requests == 3
    assert report.graph(20).edges[0].rate == pytest.approx(3 / 20)
    assert report.graph(5).edges[0].requests == 1


@given(st.lists(st.integers(0, 10**7), min_size=1))
def test_a_percentile_is_near_the_true_one(values: list[int]) -> None:
    counts: dict[int, int] = {}
    for value in values:
        counts[bucket(value)] = counts.get(bucket(value), 0) + 1
    true = sorted(values)[max(-(-len(values) // 2) - 1, 0)]
    found = percentile(counts, 0.5)
    assert true * 0.9 <= found <= true


def test_no_percentile_of_nothing() -> None:
    assert percentile({}, 0.5) == 0.0


@given(st.lists(st.binary(max_size=20).filter(lambda b: b"\n" not in b), max_size=10), st.data())
def test_every_line_once_however_it_is_written(
    tmp_path_factory: pytest.TempPathFactory, lines: list[bytes], data: st.DataObject
) -> None:
    path = tmp_path_factory.mktemp("f") / "log"
    follower, seen = Follower(path), []
    assert list(follower.lines()) == []
    text = b"".join(each + b"\n" for each in lines) + b"not ended"
    while text:
        cut = data.draw(st.integers(1, len(text)))
        with path.open("ab") as file:
            file.write(text[:cut])
        text = text[cut:]
        seen += [line for piece in follower.lines() for line in piece]
    assert seen == [line for line in lines if line]


def test_a_long_line_over_several_pieces(tmp_path: Path) -> None:
    path = tmp_path / "log"
    long = b"x" * (CHUNK * 2 + 5)
    path.write_bytes(long + b"\n" + b"short\n")
    assert [line for piece in Follower(path).lines() for line in piece] == [long, b"short"]
