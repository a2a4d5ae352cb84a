from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from mesh.testbed.tls_records import PLAIN, TLS, Decoder

HELLO_DONE = bytes.fromhex("160303000c020000000b0000000e000000")
CHANGE = bytes.fromhex("140303000101")
FINISHED = bytes.fromhex("1603030004a1b2c3d4")
DATA = bytes.fromhex("1703030003010203")
ALERT = bytes.fromhex("15030300020228")
STREAM = HELLO_DONE + CHANGE + FINISHED + DATA + ALERT
TEXTS = [
    "handshake: ServerHello, Certificate, ServerHelloDone",
    "change cipher spec: from here on encrypted",
    "handshake, encrypted",
    "application data: 3 bytes that only the two ends can read",
    "alert",
]


@given(st.lists(st.integers(0, len(STREAM)), max_size=6))
def test_records_are_the_same_wherever_the_reads_end(cuts: list[int]) -> None:
    decoder, found = Decoder(), []
    ends = [0, *sorted(cuts), len(STREAM)]
    for begin, end in pairwise(ends):
        found += decoder.feed(STREAM[begin:end])
    assert [each.text for each in found] == TEXTS
    assert b"".join(each.data for each in found) == STREAM
    assert {each.kind for each in found} == {TLS}
    assert decoder.end() == []


@given(st.binary())
def test_no_byte_is_lost(data: bytes) -> None:
    decoder = Decoder()
    pieces = decoder.feed(data) + decoder.end()
    assert b"".join(each.data for each in pieces) == data


def test_plain_text_is_shown_as_it_is() -> None:
    (piece,) = Decoder().feed(b"GET / HTTP/1.1\r\n\r\n")
    assert (piece.kind, piece.data) == (PLAIN, b"GET / HTTP/1.1\r\n\r\n")


def test_what_is_cut_off_is_said() -> None:
    decoder = Decoder()
    assert decoder.feed(DATA[:6]) == []
    assert [each.text for each in decoder.end()] == ["cut off"]
