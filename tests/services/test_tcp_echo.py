"""The TCP service: lines come back with the version, connections end as told."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from threading import Thread

import pytest

from services.options import AppOptions
from services.tcp_echo import EchoServer


def talk(tmp_path: Path, sent: bytes, **options: object) -> tuple[bytes, dict[str, object]]:
    """Send, close our direction, return all that comes back and the journal's line."""
    journal = tmp_path / "journal.jsonl"
    app = AppOptions("tcp_echo", "pod", "", "v7", journal=str(journal), options=options)
    listening = socket.create_server(("127.0.0.1", 0))
    server = EchoServer(app)
    ours = socket.create_connection(listening.getsockname())
    theirs, _ = listening.accept()
    thread = Thread(target=server._serve, args=(theirs,))
    thread.start()
    received = b""
    with listening, ours:
        ours.sendall(sent)
        try:
            ours.shutdown(socket.SHUT_WR)
            while data := ours.recv(4096):
                received += data
        except OSError:  # also "not connected": the reset was faster than our end
            received += b"(reset)"
    thread.join()
    return received, json.loads(journal.read_text().splitlines()[-1])


def test_lines_come_back(tmp_path: Path) -> None:
    received, line = talk(tmp_path, b"a\nb\nc")
    assert received == b"v7 a\nv7 b\nv7 c"
    assert (line["method"], line["lines"], line["bytes"]) == ("TCP", 3, 5)


def test_as_told(tmp_path: Path) -> None:
    assert talk(tmp_path, b"a\n", greeting="220 hi", prefix="one")[0] == b"220 hi\none a\n"
    assert talk(tmp_path, b"a\nb\n", close_after=1)[0].startswith(b"v7 a\n")
    assert talk(tmp_path, b"a\nb\n", reset_after=2)[0].endswith(b"(reset)")


def test_bad_options_are_named() -> None:
    with pytest.raises(ValueError, match="close_after"):
        EchoServer(AppOptions("tcp_echo", "pod", "", options={"close_after": "two"}))
