"""Heads that two parsers could read differently are refused; the rest is read as Envoy does."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mitmproxy.net.http import http1, validate

from mesh.sidecar.mitm.http1 import BadRequestError, ChunkedReader, read_head

REFUSED = {
    "both framings": (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked", 400),
    "two lengths": (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nContent-Length: 3", 400),
    "signed length": (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +3", 400),
    "list of lengths": (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3, 3", 400),
    "empty length": (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length:", 400),
    "other coding": (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked", 501),
    "chunked twice": (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked", 501),
    "odd coding": (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: \x0bchunked", 400),
    "space before colon": (b"GET / HTTP/1.1\r\nHost : a", 400),
    "folded line": (b"GET / HTTP/1.1\r\nHost: a\r\nX: 1\r\n 2", 400),
    "bare line feed": (b"GET / HTTP/1.1\nHost: a", 400),
    "bare line feed in a value": (b"GET / HTTP/1.1\r\nHost: a\r\nX: 1\nY: 2", 400),
    "bare carriage return": (b"GET / HTTP/1.1\r\nHost: a\r\nX: 1\r2", 400),
    "zero byte": (b"GET / HTTP/1.1\r\nHost: a\r\nX: \x00", 400),
    "line without colon": (b"GET / HTTP/1.1\r\nHost: a\r\nnonsense", 400),
    "empty name": (b"GET / HTTP/1.1\r\nHost: a\r\n: x", 400),
    "unknown method": (b"FOO / HTTP/1.1\r\nHost: a", 400),
    "lower-case method": (b"get / HTTP/1.1\r\nHost: a", 400),
    "two spaces": (b"GET  / HTTP/1.1\r\nHost: a", 400),
    "byte above 127 in the target": (b"GET /\xc3\xa4 HTTP/1.1\r\nHost: a", 400),
    "other version": (b"GET / HTTP/1.2\r\nHost: a", 426),
    "HTTP/1.0": (b"GET / HTTP/1.0\r\nHost: a", 426),
    "too many headers": (b"GET / HTTP/1.1\r\nHost: a" + b"\r\nX: 1" * 101, 431),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name):
    raw, status = REFUSED[name]
    with pytest.raises(BadRequestError) as caught:
        read_head(raw + b"\r\n\r\n")
    assert caught.value.status == status


def test_an_absolute_target_decides_over_host():
    head = read_head(b"GET HTTP://b:81/x?y HTTP/1.1\r\nHost: a\r\n\r\n")
    assert (head.authority, head.path) == (b"b:81", b"/x?y")


def test_hop_by_hop_headers_and_those_that_connection_names_go():
    head = read_head(
        b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close, X-Mine\r\nX-Mine: 1\r\n"
        b"Keep-Alive: 5\r\nProxy-Connection: x\r\nTE: trailers\r\nX-Other:  2 \r\n\r\n"
    )
    assert head.close
    assert head.fields == [(b"te", b"trailers"), (b"x-other", b"2")]


def test_connection_cannot_take_the_length_away():
    head = read_head(
        b"POST / HTTP/1.1\r\nHost: a\r\nConnection: content-length\r\nContent-Length: 3\r\n\r\n"
    )
    assert head.length == 3
    assert (b"content-length", b"3") in head.fields


def test_long_runs_of_spaces_take_linear_time():
    with pytest.raises(BadRequestError):
        read_head(b"GET / HTTP/1.1\r\nHost: a\r\nX:" + b" " * 50_000 + b"\x00\r\n\r\n")


_TOKENS = st.sampled_from([
    b"GET / HTTP/1.1", b"\r\n", b"\n", b"\r", b" ", b"\t", b":", b"Host: a", b"Content-Length: 3",
    b"Content-Length: 0x3", b"Transfer-Encoding: chunked", b"Transfer-Encoding : chunked", b"x", b"\x00", b"POST / HTTP/1.1",
])  # fmt: skip


@given(st.lists(_TOKENS, max_size=12))
def test_whatever_is_accepted_mitmproxy_frames_the_same(parts):
    raw = b"POST / HTTP/1.1\r\nHost: a\r\n" + b"".join(parts) + b"\r\n\r\n"
    raw = raw[: raw.index(b"\r\n\r\n") + 4]
    try:
        head = read_head(raw)
    except BadRequestError:
        return
    request = http1.read_request_head(raw[:-4].split(b"\r\n"))
    validate.validate_headers(request)
    assert http1.expected_http_body_size(request) == head.length


@given(st.lists(st.binary(min_size=1, max_size=20), max_size=5), st.integers(1, 7))
def test_chunks_are_joined_however_they_arrive(chunks, step):
    raw = b"".join(b"%x;a=b\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks) + b"0\r\n\r\n"
    raw += b"GET"
    reader, buffer, out = ChunkedReader(), bytearray(), b""
    for start in range(0, len(raw), step):
        buffer += raw[start : start + step]
        out += reader.feed(buffer)
    assert reader.done
    assert out == b"".join(chunks)
    assert bytes(buffer) == b"GET"


@pytest.mark.parametrize(
    "raw", [b"x\r\n", b"3\r\nabcd\r\n", b"-1\r\n", b"0x3\r\n", b"3 \r\nabc\r\n"]
)
def test_bad_chunks_are_refused(raw):
    with pytest.raises(BadRequestError):
        ChunkedReader().feed(bytearray(raw))
