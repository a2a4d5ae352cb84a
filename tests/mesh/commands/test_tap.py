"""How ``meshctl tap`` shows what it heard."""

from __future__ import annotations

import json

from mesh.commands.tap import lines
from mesh.testbed.tap import Chunk

DATA = b"\x17\x03\x03\x00\x32" + b"\xa7" * 50
HEARD = [
    Chunk(1, 8080, True, b"GET / HTTP/1.1\r\nhost: a\x1b[2J\r\n\r\n", 1.0),
    Chunk(2, 8080, True, DATA[:20], 2.0),
    Chunk(2, 8080, True, DATA[20:], 2.5),
    Chunk(1, 8080, False, b"", 3.0),
]


def test_text() -> None:
    shown = list(lines(iter(HEARD), "text"))
    assert shown[0] == "#1 --> 31 bytes, plain text"
    assert shown[1:3] == ["      GET / HTTP/1.1", "      host: a.[2J"]
    assert "#2 --> 55 bytes, TLS: application data: 50 bytes" in shown[4]
    assert shown[5] == "      17 03 03 00 32 a7 a7 a7 a7 a7 a7 a7 a7 a7 a7 a7  ....2..........."
    assert shown[-2:] == ["      ...", "#1 <-- end"]


def test_json_ends_after_so_many() -> None:
    rows = [json.loads(each) for each in lines(iter(HEARD), "json", 2)]
    assert [(row["connection"], row["kind"]) for row in rows] == [(1, "plain text"), (2, "TLS")]
    assert bytes.fromhex(rows[1]["bytes"]) == DATA
