"""Whose trace a request belongs to: what the real Envoy did with the same headers."""

from __future__ import annotations

from random import Random

import pytest

from mesh.sidecar.tracing import NoSpanError, child, extract

B3, PARENT, W3C, W3C_SPAN = "a" * 32, "b" * 16, "c" * 32, "d" * 16
TRACED, UNTRACED = f"00-{W3C}-{W3C_SPAN}-01", f"00-{W3C}-{W3C_SPAN}-00"
PAIR = {"x-b3-traceid": B3, "x-b3-spanid": PARENT}


@pytest.mark.parametrize(
    ("headers", "trace", "parent", "sampled"),
    [
        ({**PAIR, "x-b3-sampled": "1"}, B3, PARENT, True),
        ({**PAIR, "x-b3-sampled": "true"}, B3, PARENT, True),
        ({**PAIR, "x-b3-sampled": "d"}, B3, PARENT, False),
        ({**PAIR, "traceparent": UNTRACED}, B3, PARENT, False),
        ({"traceparent": TRACED}, W3C, W3C_SPAN, True),
        ({"traceparent": UNTRACED}, W3C, W3C_SPAN, False),
        ({"traceparent": TRACED.upper()}, W3C, W3C_SPAN, True),
        ({"traceparent": f"01{TRACED[2:]}"}, W3C, W3C_SPAN, True),
        ({"x-b3-traceid": B3, "traceparent": TRACED}, W3C, W3C_SPAN, True),
        ({"x-b3-spanid": PARENT, "traceparent": TRACED}, W3C, W3C_SPAN, True),
        ({"x-b3-sampled": "0", "traceparent": TRACED}, W3C, W3C_SPAN, True),
        ({"x-b3-sampled": "1", "traceparent": UNTRACED}, W3C, W3C_SPAN, True),
        ({"x-b3-flags": "1", "traceparent": UNTRACED}, W3C, W3C_SPAN, False),
        (
            {"x-b3-traceid": "abc", "x-b3-spanid": "12", "traceparent": TRACED},
            "0000000000000abc",
            "0000000000000012",
            True,
        ),
    ],
)
@pytest.mark.parametrize("traced", [True, False])
def test_a_trace_goes_on(
    headers: dict[str, str], trace: str, parent: str, sampled: bool, traced: bool
) -> None:
    context, decided = extract(raw(headers), traced)
    assert context is not None
    assert (context.trace_id, context.span_id) == (trace, parent)
    assert decided == context.sampled == sampled


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"traceparent": "00-x"},
        {"x-b3-traceid": B3, "traceparent": "00-x"},
        {"traceparent": f"00-{'0' * 32}-{W3C_SPAN}-01"},
    ],
)
@pytest.mark.parametrize("traced", [True, False])
def test_a_trace_begins(headers: dict[str, str], traced: bool) -> None:
    assert extract(raw(headers), traced) == (None, traced)


@pytest.mark.parametrize(
    ("said", "parent", "sampled"),
    [
        (f"{B3}-{PARENT}-1-{W3C_SPAN}", True, True),
        (f"{B3.upper()}-{PARENT}-0", True, False),
        (f"{B3}-{PARENT}-d", True, True),
        (f"{B3}-{PARENT}", True, None),
        (f"{B3[:16]}-{PARENT}-1", True, True),
        ("1", False, True),
        ("d", False, True),
        ("0", False, False),
    ],
)
@pytest.mark.parametrize("traced", [True, False])
def test_one_header_counts_alone(
    said: str, parent: bool, sampled: bool | None, traced: bool
) -> None:
    others = {"x-b3-traceid": W3C, "x-b3-spanid": W3C_SPAN, "x-b3-sampled": "0"}
    context, decided = extract(raw({"b3": said, "traceparent": UNTRACED, **others}), traced)
    assert context is not None
    assert context.single
    assert decided == (traced if sampled is None else sampled)
    begun = child(context, decided, Random(1))
    fields = dict(begun.inject([*raw(others).items(), (b"b3", said.encode())]))
    flag, span = "1" if decided else "0", begun.span_id
    if parent:
        assert fields[b"b3"].decode() == f"{context.trace_id}-{span}-{flag}-{PARENT}"
    else:
        assert fields[b"b3"].decode() == f"{begun.trace_id}-{span}-{flag}"
        assert begun.trace_id.endswith(span)
    assert fields[b"traceparent"].decode() == f"00-{begun.trace_id.zfill(32)}-{span}-0{flag}"
    assert fields[b"x-b3-traceid"].decode() == W3C


@pytest.mark.parametrize(
    "said",
    [
        "", "x", "zzz", f"{B3}-{PARENT}-x", f"{B3}-bbbb-1", f"{B3}-{PARENT}-", f"{B3}-{PARENT}-1-xyz",
        f"{B3}-{PARENT}-{W3C_SPAN}", f"{'g' * 32}-{PARENT}-1",
    ],
)  # fmt: skip
def test_one_header_that_makes_no_sense_leaves_the_request_without_a_span(said: str) -> None:
    with pytest.raises(NoSpanError):
        extract(raw({"b3": said, "traceparent": TRACED}), True)


@pytest.mark.parametrize("ids", [("zz", PARENT), (B3, ""), ("a" * 20, PARENT)])
def test_ids_that_are_none_leave_the_request_without_a_span(ids: tuple[str, str]) -> None:
    with pytest.raises(NoSpanError):
        extract(raw({"x-b3-traceid": ids[0], "x-b3-spanid": ids[1], "traceparent": TRACED}), True)


def raw(headers: dict[str, str]) -> dict[bytes, bytes]:
    return {name.encode(): value.encode() for name, value in headers.items()}
