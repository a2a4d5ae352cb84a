"""The outside world through a real waitress server, on a port for each name."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import pytest
from cryptography import x509

from services.external import asked_for
from services.options import AppOptions
from services.outside_ca import make_certificates
from services.recommendation import _time

HTTPS = "https"
BY_PORT = {"8001": "edition.cnn.com", "8002": "httpbin.org"}
RUN = (
    "import json, sys; from services.options import AppOptions; from services.server import run; "
    "run(AppOptions(**json.loads(sys.argv[1])))"
)


def test_the_host_tells_the_name_else_the_port() -> None:
    for host, port, name in (
        ("edition.cnn.com", "8002", "edition.cnn.com"),
        ("Edition.CNN.com.:80", "8002", "edition.cnn.com"),
        ("shop.example", "8002", "httpbin.org"),
        ("shop.example:80", "9", "shop.example"),
    ):
        assert asked_for(host, port, BY_PORT) == name


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[dict[str, int], Path]]:
    folder = tmp_path_factory.mktemp("world")
    holders = [socket.socket() for _ in range(4)]
    for holder in holders:
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        holder.bind(("127.0.0.1", 0))
    names = ["edition.cnn.com", "httpbin.org", "worldclockapi.com", HTTPS]
    ports = {name: holder.getsockname()[1] for name, holder in zip(names, holders, strict=True)}
    ready_r, ready_w = os.pipe()
    life_r, life_w = os.pipe()
    options = AppOptions(
        app="services.external",
        pod="world",
        listen=",".join(f"127.0.0.1:{port}" for port in ports.values()),
        journal=str(folder / "journal.jsonl"),
        options={
            "names": {str(port): name for name, port in ports.items() if name != HTTPS},
            "hosts": ["edition.cnn.com", "secure.example"],
            "https": [ports[HTTPS]],
            "certificates": str(folder / "certificates"),
        },
        ready_fd=ready_w,
        lifeline_fd=life_r,
    )
    command = [sys.executable, "-c", RUN, json.dumps(asdict(options))]
    process = subprocess.Popen(command, pass_fds=(ready_w, life_r))
    os.close(ready_w)
    os.close(life_r)
    assert os.read(ready_r, 1)
    os.close(ready_r)
    yield ports, folder / "journal.jsonl"
    os.close(life_w)
    process.wait()
    for holder in holders:
        holder.close()


def ask(port: int, path: str, host: str, method: str = "GET") -> tuple[int, str]:
    connection = http.client.HTTPConnection("127.0.0.1", port)
    with contextlib.closing(connection):
        connection.request(method, path, headers={"Host": host, "x-one": "1"})
        answer = connection.getresponse()
        return answer.status, answer.read().decode()


def test_every_name_answers(world: tuple[dict[str, int], Path]) -> None:
    ports, journal = world
    for port in [port for name, port in ports.items() if name != HTTPS]:
        assert ask(port, "/sport", "edition.cnn.com") == (200, "edition.cnn.com answers /sport\n")
    assert ask(ports["httpbin.org"], "/", "mirror.example") == (200, "httpbin.org answers /\n")
    lines = [json.loads(line) for line in journal.read_text().splitlines()]
    assert [line["pod"] for line in lines] == ["edition.cnn.com"] * 3 + ["httpbin.org"]
    assert lines[0]["headers"]["x-one"] == "1"


def test_anything_says_what_it_received(world: tuple[dict[str, int], Path]) -> None:
    ports, _ = world
    status, body = ask(ports["edition.cnn.com"], "/anything/a?b=1", "edition.cnn.com", "POST")
    seen = json.loads(body)
    assert (status, seen["pod"], seen["method"], seen["path"]) == (
        200,
        "edition.cnn.com",
        "POST",
        "/anything/a?b=1",
    )
    assert seen["headers"]["host"] == "edition.cnn.com"


def test_httpbin_and_the_clock(world: tuple[dict[str, int], Path]) -> None:
    ports, _ = world
    port = ports["httpbin.org"]
    assert ask(port, "/status/418", "httpbin.org")[0] == 418
    for wrong in ("/status/x", "/status/1", "/status/99999999", "/status/%C2%B2", "/delay/x"):
        assert ask(port, wrong, "httpbin.org")[0] == 400
    assert json.loads(ask(port, "/headers", "httpbin.org")[1])["headers"]["X-One"] == "1"
    assert ask(port, "/delay/0", "httpbin.org")[0] == 200
    assert ask(ports["edition.cnn.com"], "/status/418", "edition.cnn.com")[0] == 200
    assert "currentDateTime" in ask(ports["worldclockapi.com"], "/api/json/utc/now", "w")[1]


def over_tls(port: int, folder: Path, name: str, inside: bytes) -> bytes:
    context = ssl.create_default_context(cafile=str(folder / "certificates" / "ca.pem"))
    with (
        socket.create_connection(("127.0.0.1", port)) as plain,
        context.wrap_socket(plain, server_hostname=name) as connection,
    ):
        connection.sendall(inside)
        return b"".join(iter(lambda: connection.recv(65536), b""))


def test_https_by_the_certificate_of_each_name(world: tuple[dict[str, int], Path]) -> None:
    ports, journal = world
    port, folder = ports[HTTPS], journal.parent
    for name in ("edition.cnn.com", "secure.example", "httpbin.org"):
        request = f"GET /anything HTTP/1.1\r\nHost: {name}\r\nConnection: close\r\n\r\n"
        answer = over_tls(port, folder, name, request.encode())
        seen = json.loads(answer.partition(b"\r\n\r\n")[2])
        assert (seen["pod"], seen["scheme"]) == (name, "https")
    with pytest.raises(ssl.SSLCertVerificationError, match="Hostname mismatch"):
        over_tls(port, folder, "stranger.example", b"")
    assert over_tls(port, folder, "edition.cnn.com", b"\x16\x03\x01").startswith(b"HTTP/1.1 400")
    assert (folder / "certificates" / "ca.key.pem").stat().st_mode & 0o077 == 0


def test_certificates_that_are_there_stay(tmp_path: Path) -> None:
    first = make_certificates(tmp_path, ["a.test"])["a.test"].read_bytes()
    again = make_certificates(tmp_path, ["a.test", "b.test"])
    assert again["a.test"].read_bytes() == first
    root = x509.load_pem_x509_certificate((tmp_path / "ca.pem").read_bytes())
    for path in again.values():
        x509.load_pem_x509_certificate(path.read_bytes()).verify_directly_issued_by(root)


def test_recommendation_reads_the_time_of_either_clock() -> None:
    for status, body, time in (
        (200, '{"currentDateTime": "2026-01-01T00:00Z"}', "2026-01-01T00:00Z"),
        (200, '{"datetime": "2026"}', "2026"),
        (200, "no JSON", ""),
        (200, "{}", ""),
        (503, '{"datetime": "2026"}', ""),
    ):
        assert _time(status, body) == time
