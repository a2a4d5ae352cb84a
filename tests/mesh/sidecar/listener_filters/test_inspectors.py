"""The inspectors on hellos of a real TLS library, cut and broken at every place."""

from __future__ import annotations

import ssl

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.sidecar.listener_filters import http_inspector, tls_inspector
from mesh.sidecar.listener_filters.facts import Inspection


def hello(name: str | None, protocols: list[str]) -> bytes:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    if protocols:
        context.set_alpn_protocols(protocols)
    outgoing = ssl.MemoryBIO()
    client = context.wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname=name)
    with pytest.raises(ssl.SSLWantReadError):
        client.do_handshake()
    return outgoing.read()


HELLO = hello("Www.Example.com", ["istio", "h2"])


def test_a_hello_tells_name_and_protocols() -> None:
    facts = Inspection()
    assert tls_inspector.inspect(HELLO, facts)
    assert facts == Inspection("tls", "www.example.com", ("istio", "h2"))
    facts = Inspection()
    assert tls_inspector.inspect(hello(None, []), facts)
    assert facts == Inspection("tls")


def test_a_part_of_a_hello_is_not_enough() -> None:
    for end in range(len(HELLO)):
        facts = Inspection()
        assert not tls_inspector.inspect(HELLO[:end], facts)
        assert facts == Inspection()


def test_what_follows_a_hello_does_not_matter() -> None:
    for more in (b"\n", b"\x14\x03\x03\x00\x01\x01", b"\x17\x03\x03\x00\x05early"):
        facts = Inspection()
        assert tls_inspector.inspect(HELLO + more, facts)
        assert facts.server_name == "www.example.com"


def test_a_hello_in_many_records() -> None:
    body = HELLO[5:]
    pieces = [body[at : at + 7] for at in range(0, len(body), 7)]
    data = b"".join(b"\x16\x03\x01" + len(piece).to_bytes(2) + piece for piece in pieces)
    facts = Inspection()
    assert tls_inspector.inspect(data, facts)
    assert facts.server_name == "www.example.com"


@pytest.mark.parametrize("data", [b"GET / HTTP/1.1\r\n", b"\x00", b"\x16\x02", b"\x15\x03\x01"])
def test_what_is_not_tls_is_plaintext(data: bytes) -> None:
    facts = Inspection()
    assert tls_inspector.inspect(data, facts)
    assert facts == Inspection()


@given(st.integers(0, len(HELLO) - 1), st.integers(0, 255), st.binary(max_size=5))
def test_no_byte_makes_it_fail(at: int, value: int, more: bytes) -> None:
    data = HELLO[:at] + bytes([value]) + HELLO[at + 1 :] + more
    tls_inspector.inspect(data, Inspection())


@pytest.mark.parametrize(
    ("data", "found"),
    [
        (b"GET / HTTP/1.1\r\nHost: a\r\n", ("http/1.1",)),
        (b"M-SEARCH * HTTP/1.0\r\n", ("http/1.0",)),
        (http_inspector.HTTP2_PREFACE, ("h2c",)),
        (b"hello\n", ()),
        (b"SSH-2.0-OpenSSH\r\n", ()),
        (b"\x00\x01", ()),
        (b"GET / HTTP/3.0\r\n", ()),
    ],
)
def test_http_is_known_by_its_first_line(data: bytes, found: tuple[str, ...]) -> None:
    facts = Inspection()
    assert http_inspector.inspect(data, facts)
    assert facts.application_protocols == found


def test_http_waits_for_the_line() -> None:
    for data in (b"", b"P", b"PRI * HTT", b"GET /index", b"GET / HTTP/1.1"):
        assert not http_inspector.inspect(data, Inspection())


def test_http_leaves_tls_alone() -> None:
    facts = Inspection("tls", "a", ("h2",))
    assert http_inspector.inspect(b"GET / HTTP/1.1\r\n", facts)
    assert facts == Inspection("tls", "a", ("h2",))
