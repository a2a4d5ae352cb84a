"""The scripted backend over its real socket, Unix and TCP."""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from mesh.unixhttp import UnixConnection
from services.options import AppOptions
from services.script import Script
from services.scripted import ScriptedServer


def start(sock: socket.socket, folder: Path, **options: object) -> None:
    app = AppOptions("scripted", "pod-1", "", options=options, journal=str(folder / "journal"))
    server = ScriptedServer(sock, app)
    sock.listen()
    threading.Thread(target=server.serve, daemon=True).start()


def connect(
    family: socket.AddressFamily, folder: Path, **options: object
) -> http.client.HTTPConnection:
    sock = socket.socket(family)
    if family == socket.AF_UNIX:
        sock.bind(str(folder / "s"))
        start(sock, folder, **options)
        return UnixConnection(str(folder / "s"))
    sock.bind(("127.0.0.1", 0))
    start(sock, folder, **options)
    return http.client.HTTPConnection("127.0.0.1", sock.getsockname()[1])


@pytest.fixture(params=[socket.AF_UNIX, socket.AF_INET], ids=["unix", "tcp"])
def family(request: pytest.FixtureRequest) -> Iterator[socket.AddressFamily]:
    yield request.param


@pytest.fixture
def opened() -> Iterator[list[http.client.HTTPConnection]]:
    connections: list[http.client.HTTPConnection] = []
    yield connections
    for connection in connections:
        connection.close()


def ask(connection: http.client.HTTPConnection, path: str = "/") -> tuple[int, bytes]:
    connection.request("GET", path)
    answer = connection.getresponse()
    return answer.status, answer.read()


def test_says_what_it_received(
    family: socket.AddressFamily, tmp_path: Path, opened: list[http.client.HTTPConnection]
) -> None:
    connection = connect(family, tmp_path)
    opened.append(connection)
    for number in (1, 2):
        connection.request("POST", "/a?b=c", body=b"hello", headers={"X-One": "1"})
        seen = json.loads(connection.getresponse().read())
        assert (seen["method"], seen["path"], seen["body"]) == ("POST", "/a?b=c", "hello")
        assert seen["headers"]["x-one"] == "1"
        assert (seen["counter"], seen["connection"]) == (number, 1)
    connection.request("POST", "/", body=iter([b"ab", b"cd"]), encode_chunked=True)
    assert json.loads(connection.getresponse().read())["body"] == "abcd"


def test_answers_in_order_and_by_path(
    family: socket.AddressFamily, tmp_path: Path, opened: list[http.client.HTTPConnection]
) -> None:
    connection = connect(
        family,
        tmp_path,
        script=[{"status": 503, "body": "no", "times": 2}, {"status": 200, "body": "yes"}],
        paths={"/other": [{"status": 404, "body": "", "headers": {"X-Why": ["a", "b"]}}]},
        default={"status": 201, "body": "end"},
    )
    opened.append(connection)
    assert ask(connection) == (503, b"no")
    connection.request("GET", "/other?x")
    answer = connection.getresponse()
    assert (answer.status, answer.headers.get_all("x-why")) == (404, ["a", "b"])
    answer.read()
    assert [ask(connection) for _ in range(3)] == [(503, b"no"), (200, b"yes"), (201, b"end")]


def test_breaks_the_rules_when_told(
    family: socket.AddressFamily, tmp_path: Path, opened: list[http.client.HTTPConnection]
) -> None:
    connection = connect(
        family,
        tmp_path,
        script=[
            {"close": "before_headers"},
            {"close": "mid_body", "body": "0123456789"},
            {"reset": True},
            {"raw": "this is not HTTP\r\n\r\n"},
            {"body": "fine"},
        ],
    )
    opened.append(connection)
    with pytest.raises(http.client.RemoteDisconnected):
        ask(connection)
    connection.close()
    with pytest.raises(http.client.IncompleteRead) as cut:
        ask(connection)
    assert cut.value.partial == b"01234"
    connection.close()
    with pytest.raises(ConnectionResetError) as reset:
        ask(connection)
    assert not isinstance(reset.value, http.client.RemoteDisconnected)
    connection.close()
    with pytest.raises(http.client.BadStatusLine):
        ask(connection)
    connection.close()
    assert ask(connection) == (200, b"fine")
    lines = [json.loads(line) for line in (tmp_path / "journal").read_text().splitlines()]
    assert [line["status"] for line in lines] == [0, 200, 0, 0, 200]


def test_a_request_brings_its_own_script(
    family: socket.AddressFamily, tmp_path: Path, opened: list[http.client.HTTPConnection]
) -> None:
    connection = connect(family, tmp_path, script=[{"body": "of the backend"}])
    opened.append(connection)

    def again(request: str, script: object, attempt: int = 0) -> int:
        headers = {"x-request-id": request, "x-script": json.dumps(script)}
        if attempt:
            headers["x-envoy-attempt-count"] = str(attempt)
        connection.request("GET", "/", headers=headers)
        answer = connection.getresponse()
        answer.read()
        return answer.status

    two = [{"status": 503}, {"status": 202}]
    assert [again("a", two) for _ in range(3)] == [503, 202, 202]
    assert again("b", two) == 503
    assert again("c", {"v1": [{"status": 418}], "v2": two}) == 418
    assert again("d", {"v2": two}) == 200
    assert ask(connection) == (200, b"of the backend")
    assert again("e", [{"stats": 1}]) == again("f", []) == 400
    # The other pod got the first try: the sidecar's number counts.
    assert again("g", {"attempts": two}, 2) == again("g", {"attempts": two}, 3) == 202
    assert again("g", {"attempts": two}, 1) == again("g", {"attempts": two}) == 503


def test_holds_an_answer_back_until_told(
    family: socket.AddressFamily, tmp_path: Path, opened: list[http.client.HTTPConnection]
) -> None:
    held = connect(family, tmp_path, paths={"/held": [{"hold": "a", "body": "late"}]})
    other = http.client.HTTPConnection("127.0.0.1", held.port)
    if isinstance(held, UnixConnection):
        other = UnixConnection(held.path)
    opened += [held, other]
    held.request("GET", "/held")
    assert ask(other)[0] == 200
    assert ask(other, "/release/b") == ask(other, "/release/a") == (200, b"OK\n")
    assert held.getresponse().read() == b"late"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"scripts": []}, "no option 'scripts'"),
        ({"script": [{"stats": 1}]}, "no 'stats'"),
        ({"script": [{"close": "now"}]}, "before_headers or mid_body"),
        ({"script": {"status": 1}}, "a script is a list"),
    ],
)
def test_a_wrong_script_is_named(options: dict[str, object], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Script.parse(options)


def test_whoever_speaks_tls_to_it_is_not_kept_waiting(tmp_path: Path) -> None:
    sock = socket.socket(socket.AF_UNIX)
    sock.bind(str(tmp_path / "s"))
    start(sock, tmp_path)
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(20)
        client.connect(str(tmp_path / "s"))
        client.sendall(b"\x16\x03\x01\x00\x05hello")
        with contextlib.suppress(ConnectionResetError):  # bytes were left unread
            assert client.recv(1) == b""
