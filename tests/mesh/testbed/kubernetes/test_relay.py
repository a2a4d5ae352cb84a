"""Connections out of a pod, by a kubectl that runs the program here: nothing captures them."""

from __future__ import annotations

import http.client
import socket
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from mesh.testbed.client import TestbedError
from mesh.testbed.kubernetes.relay import Relays


class Echo(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        return


class Server(ThreadingHTTPServer):
    request_queue_size = 128  # all that connect at once; the usual 5 lets the kernel drop some


@pytest.fixture
def server() -> Iterator[int]:
    with Server(("127.0.0.1", 0), Echo) as running:
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        yield running.server_port
        running.shutdown()
        thread.join()


@pytest.fixture
def relays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Relays]:
    program = tmp_path / "kubectl"
    program.write_text(
        "#!/bin/sh\n"
        'case "$*" in *lost*) echo \'Error from server (NotFound): pods "lost" not found\' >&2; exit 1;; esac\n'
        'while [ "$1" != python ]; do shift; done; shift\n'
        f'exec env -i "{sys.executable}" "$@"\n'
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    made = Relays()
    yield made
    made.close()


def post(port: int, host: str, body: bytes) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    connection.request("POST", "/", body, {"host": host})
    answer = connection.getresponse()
    found = answer.status, answer.read()
    connection.close()
    return found


def test_the_host_of_a_request_says_where_to(relays: Relays, server: int) -> None:
    port = relays.port("tutorial", "customer-1")
    assert post(port, f"localhost:{server}", b"a") == (200, b"a")
    big = b"0123456789" * 100_000
    assert post(port, f"127.0.0.1:{server}", big) == (200, big)


def test_one_connection_has_many_requests(relays: Relays, server: int) -> None:
    port = relays.port("tutorial", "customer-1", f"raw 127.0.0.1:{server}")
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    for body in (b"one", b"two"):
        connection.request("POST", "/", body, {"host": "whoever"})
        assert connection.getresponse().read() == body
    connection.close()


def test_many_connections_share_one_exec(relays: Relays, server: int) -> None:
    port = relays.port("tutorial", "customer-1")
    found: list[tuple[int, bytes]] = []

    def ask(number: int) -> None:
        found.append(post(port, f"localhost:{server}", b"%d" % number))

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(40)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(found) == sorted((200, b"%d" % number) for number in range(40))
    assert len(relays._execs) == 1


def test_nobody_there_is_an_answer_as_an_applications(relays: Relays) -> None:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        status, body = post(
            relays.port("tutorial", "customer-1"), f"127.0.0.1:{held.getsockname()[1]}", b""
        )
    assert (status, b"Connect call failed" in body) == (503, True), body
    port = relays.port("tutorial", "customer-1")
    assert post(port, "nowhere.invalid:80", b"") == (503, b"DNS resolution failure")


def test_a_tunnel_is_opened_by_connect(relays: Relays, server: int) -> None:
    port = relays.port("tutorial", "customer-1")
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    connection.set_tunnel("127.0.0.1", server)
    connection.request("POST", "/", b"in", {"host": "inside"})
    assert connection.getresponse().read() == b"in"
    connection.close()


def test_the_clocks_are_compared(relays: Relays) -> None:
    assert abs(relays.skew("tutorial", "customer-1")) < 0.1


def test_a_pod_that_is_not_there_is_one_sentence(relays: Relays) -> None:
    with pytest.raises(TestbedError, match=r'into pod lost did not work: .*"lost" not found'):
        relays.port("tutorial", "lost")
