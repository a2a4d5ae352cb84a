import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.mixer.spans import Span, Trace, TraceStore, parse_spans


def span(number: int, trace: str = "t", parent: int = 0, **more: object) -> Span:
    fields = {
        "name": "n",
        "kind": "CLIENT",
        "service": "s",
        "pod": "p",
        "start": number,
        "duration": 1,
    }
    return Span(trace, str(number), str(parent) if parent else "", **{**fields, **more})  # type: ignore[arg-type]


def test_the_oldest_traces_go_first() -> None:
    store = TraceStore(max_traces=2)
    for number, trace in enumerate("abca", 1):
        store.add([span(number, trace)])
    assert [each.id for each in store.newest(10)] == ["c", "a"]
    assert store.forgotten == 2
    assert store.received["p"] == 4


def test_spans_are_bounded_too() -> None:
    store = TraceStore(max_spans=3)
    store.add([span(1, "a"), span(2, "a"), span(3, "b"), span(4, "b")])
    assert [each.id for each in store.newest(10)] == ["b"]


def test_a_broken_trace_has_several_roots() -> None:
    whole = Trace("t", (span(1), span(2, parent=1), span(3, parent=2)))
    assert [(depth, each.id) for depth, each in whole.ordered()] == [(0, "1"), (1, "2"), (2, "3")]
    assert len(whole.roots) == 1
    assert len(Trace("t", (span(1), span(2, parent=1), span(9, parent=7))).roots) == 2
    assert Trace.from_dict(whole.as_dict()) == whole


@given(st.lists(st.tuples(st.integers(1, 8), st.integers(0, 8)), min_size=1, max_size=12))
def test_whatever_the_parents_every_span_is_shown_at_most_once_more_than_sent(
    pairs: list[tuple[int, int]],
) -> None:
    trace = Trace("t", tuple(span(number, parent=parent) for number, parent in pairs))
    shown = trace.ordered()
    assert len(shown) <= len(pairs)  # spans of a circle have no root: they are not shown


@pytest.mark.parametrize("data", [{}, [1], [{"id": "1"}], "x", None])
def test_what_is_no_span_is_refused(data: object) -> None:
    with pytest.raises(ValueError, match="span"):
        parse_spans(data)


def test_zipkins_form() -> None:
    (found,) = parse_spans(
        [
            {
                "traceId": "1",
                "id": "2",
                "tags": {"node_id": "sidecar~127.0.0.1~pod-a.ns~d"},
                "timestamp": 5,
            }
        ]
    )
    assert (found.trace_id, found.pod, found.start) == ("1".rjust(32, "0"), "pod-a", 5)
