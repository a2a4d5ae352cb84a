"""Paths before any rule looks at them, judged by the real Envoy."""

from __future__ import annotations

import random
import socket
from collections.abc import Callable
from typing import Any

import pytest

from mesh.sidecar.normalize_path import (
    Rule,
    merge_slashes,
    normalize_path,
    one_spelling,
    unescape_slashes,
)

pytestmark = pytest.mark.envoy

# An answer that says in a header what became of the path.
ECHO = {
    "name": "r",
    "virtual_hosts": [
        {
            "name": "v",
            "domains": ["*"],
            "routes": [
                {
                    "match": {"prefix": ""},
                    "direct_response": {"status": 200},
                    "response_headers_to_add": [
                        {"header": {"key": "x-path", "value": "%REQ(:PATH)%"}}
                    ],
                }
            ],
        }
    ],
}
NORMALIZE = {"normalize_path": True}
MERGE = {**NORMALIZE, "merge_slashes": True}
DECODE = {**MERGE, "path_with_escaped_slashes_action": "UNESCAPE_AND_FORWARD"}
# Istio's normalizations, and how many paths are tried.
SETTINGS: dict[str, tuple[dict[str, Any], tuple[Rule, ...], int]] = {
    "NONE": ({"normalize_path": False}, (), 300),
    "BASE": (NORMALIZE, (normalize_path,), 3000),
    "MERGE_SLASHES": (MERGE, (normalize_path, merge_slashes), 1000),
    "DECODE_AND_MERGE_SLASHES": (
        DECODE,
        (unescape_slashes, normalize_path, merge_slashes),
        1000,
    ),
}
PIECES = (
    *("/", "/", "/", "//", ".", "..", ";x", "a", "B", "~", "-", "_", "%", "%2", "%2e", "%2E"),
    *("%2f", "%2F", "%5c", "\\", "%41", "%34", "%25", "%7e", "%7E", "%20", "%00", "%e9", "%zz"),
    *("!", "$", "&", "'", "(", ")", "*", "+", ",", "=", ":", "@", "[", "]", "<", ">", '"', "^"),
    *("`", "{", "|", "}", "?", "?a=/../b", "%3F", "%23", "%0A", "%7F", "...", ".a", "%2e."),
)


def paths(count: int) -> list[bytes]:
    draw = random.Random(20)
    made = []
    for _ in range(count):
        pieces = draw.choices(PIECES, k=draw.randrange(1, 7))
        made.append(("/" + "".join(pieces)).encode())
    return made


class Client:
    """One keep-alive connection, reopened when Envoy closes it."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._open()

    def _open(self) -> None:
        self._socket = socket.create_connection(("127.0.0.1", self._port))
        self._stream = self._socket.makefile("rb")

    def close(self) -> None:
        self._stream.close()
        self._socket.close()

    def ask(self, path: bytes) -> tuple[int, bytes | None, bool]:
        """Return the status, the path as Envoy saw it, and whether the connection was closed."""
        self._socket.sendall(b"GET " + path + b" HTTP/1.1\r\nhost: a\r\n\r\n")
        status = int(self._stream.readline().split()[1])
        headers: dict[bytes, bytes] = {}
        while (line := self._stream.readline()) != b"\r\n":
            name, _, value = line.partition(b":")
            headers[name.lower()] = value.strip()
        self._stream.read(int(headers.get(b"content-length", b"0")))
        closed = headers.get(b"connection") == b"close"
        if closed:
            self.close()
            self._open()
        return status, headers.get(b"x-path"), closed


@pytest.mark.parametrize("normalization", SETTINGS)
def test_paths(judge: Callable[..., Any], normalization: str) -> None:
    manager, rules, count = SETTINGS[normalization]
    client = Client(judge(ECHO, manager=manager).port)
    wrong = []
    for path in paths(count):
        status, seen, closed = client.ask(path)
        expected = one_spelling(path, rules)
        got = seen if status == 200 else None
        if got != expected or (status != 200 and (status, closed) != (400, True)):
            wrong.append((path, status, closed, seen, expected))
    client.close()
    assert wrong == []
