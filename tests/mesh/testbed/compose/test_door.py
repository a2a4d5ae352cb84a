"""The door of a pod and the relay before it, with real sockets, without a container."""

import gc
import http.client
import select
import socket
import struct
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from mesh.testbed.compose import door
from mesh.testbed.compose.appears import Folder
from mesh.testbed.compose.relay import Relay
from mesh.testbed.request import send
from services.options import AppOptions
from services.server import bind

ROOT = Path(__file__).parents[4]


@pytest.fixture(scope="module")
def app() -> Iterator[int]:
    """Serve an application on a port."""
    from waitress.server import create_server

    from services.factory import create_app

    sock = bind("127.0.0.1:0")
    server = create_server(
        create_app(AppOptions("recommendation", "r-1", "")), sockets=[sock], threads=2
    )
    threading.Thread(target=server.run, daemon=True).start()
    yield int(sock.getsockname()[1])


@pytest.fixture
def folder(app: int) -> Iterator[Path]:
    """Run a door in front of the application, as its container does."""
    with tempfile.TemporaryDirectory() as name:
        command = [sys.executable, "-m", "mesh.testbed.compose.door", name, str(app), "0", "0"]
        process = subprocess.Popen(command, cwd=ROOT)
        yield Path(name)
        process.kill()
        process.wait()


def ready(folder: Path) -> bytes:
    return ask(folder, door.READY)


def ask(folder: Path, name: str) -> bytes:
    with Folder(folder) as seen:
        while True:
            seen.forget()
            with socket.socket(socket.AF_UNIX) as sock:
                try:
                    sock.connect(str(folder / name))
                except OSError:
                    select.select([seen], [], [])
                    continue
                return sock.recv(16)


def test_the_door_says_when_the_application_takes_connections(folder: Path) -> None:
    assert ready(folder) == b"1"
    answer = send(str(folder / door.APP), "/", method="GET", headers=None, body=b"")
    assert answer.text.startswith("recommendation v1 from 'r-1'")


def test_a_client_s_request_goes_where_its_host_says(folder: Path, app: int) -> None:
    assert ready(folder) == b"1"
    place = str(folder / door.CLIENT)
    answer = send(place, "/", method="GET", headers={"host": f"127.0.0.1:{app}"}, body=b"")
    assert answer.status == 200
    lost = send(place, "/", method="GET", headers={"host": "no.such.name.invalid"}, body=b"")
    assert (lost.status, lost.text) == (503, "DNS resolution failure")


def test_a_relay_keeps_a_connection_for_many_requests(folder: Path, app: int) -> None:
    assert ready(folder) == b"1"
    relay = Relay(str(folder / door.CLIENT))
    try:
        connection = http.client.HTTPConnection("127.0.0.1", relay.port, timeout=10)
        for _ in range(3):
            connection.request("GET", "/", headers={"host": f"127.0.0.1:{app}"})
            assert connection.getresponse().read().startswith(b"recommendation v1")
        connection.close()
    finally:
        relay.close()


def test_without_capture_a_client_goes_to_the_applications_proxy(app: int) -> None:
    """Whatever the request says: the proxy reads it (the application plays the proxy here)."""
    with tempfile.TemporaryDirectory() as name:
        words = [sys.executable, "-m", "mesh.testbed.compose.door", name, "0", "0", str(app)]
        process = subprocess.Popen(words, cwd=ROOT)
        try:
            assert ready(Path(name)) == b"1"
            place = str(Path(name) / door.CLIENT)
            headers = {"host": "nobody.example"}
            answer = send(place, "/", method="GET", headers=headers, body=b"")
            assert answer.text.startswith("recommendation v1")
        finally:
            process.kill()
            process.wait()


def test_the_door_counts_who_is_connected_from_outside(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = tmp_path / "tcp"
    monkeypatch.setattr(door, "TABLES", (table, tmp_path / "none"))
    head = "  sl  local_address rem_address   st tx_queue ...\n"
    rows = {
        "from outside": "0A034D0A:1F90 0B034D0A:C350 01",
        "from inside": "0100007F:1F90 0100007F:C351 01",
        "it listens": "00000000:1F90 00000000:0000 0A",
        "it has ended": "0A034D0A:1F90 0B034D0A:C352 06",
        "another port": "0A034D0A:1F91 0B034D0A:C353 01",
        "on its way out": "0A034D0A:C354 0B034D0A:1F90 01",
    }
    table.write_text(head + "".join(f"   0: {row} 00000000:0\n" for row in rows.values()))
    assert door.connected(8080) == 1


def test_a_relay_ends_quietly_with_connections_whose_callers_are_gone(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Nothing is collected half done, and what is cut at the end is no error."""
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "far"))
        server.listen(64)
        relay = Relay(str(tmp_path / "far"))
        far = []
        for number in range(20):
            near = socket.create_connection(("127.0.0.1", relay.port))
            far.append(server.accept()[0])
            near.sendall(b"x")
            assert far[-1].recv(1) == b"x"
            if number % 2:
                near.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            near.close()
        gc.collect()
        for each in far[
            1::2
        ]:  # a caller that is gone has ended its connection on the other side, too
            assert each.recv(1) == b""
        relay.close()
        gc.collect()
        for each in far:
            assert each.recv(1) == b""
            each.close()
    assert caplog.records == []
