"""The services through real waitress servers on Unix sockets, chained by a plain proxy."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from mesh.unixhttp import UnixConnection
from services.factory import create_app
from services.options import AppOptions


@contextmanager
def served(folder: Path, app: str, **more: object) -> Iterator[Path]:
    """The application in a process of its own; waits for its readiness byte."""

    ready_r, ready_w = os.pipe()
    life_r, life_w = os.pipe()
    path = folder / f"{app}.sock"
    spec = {
        "app": app,
        "pod": f"{app}-v1-abc-12345",
        "listen": f"unix:{path}",
        "journal": str(folder / f"{app}.jsonl"),
        "ready_fd": ready_w,
        "lifeline_fd": life_r,
        **more,
    }
    code = (
        "import json,sys; from services.options import AppOptions; from services.server import run;"
        "run(AppOptions(**json.loads(sys.argv[1])))"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, json.dumps(spec)], pass_fds=(ready_w, life_r)
    )
    os.close(ready_w)
    os.close(life_r)
    try:
        assert os.read(ready_r, 1) == b"R", f"{app} ended before it was ready"
        yield path
    finally:
        os.close(ready_r)
        os.close(life_w)  # the lifeline breaks: the process ends by itself
        assert process.wait() == 0


def get(path: Path, target: str = "/", **headers: str) -> tuple[int, str]:
    connection = UnixConnection(str(path))
    connection.request("GET", target, headers={k.replace("_", "-"): v for k, v in headers.items()})
    answer = connection.getresponse()
    body = answer.read().decode()
    connection.close()
    return answer.status, body


@contextmanager
def proxy(hosts: dict[str, Path]) -> Iterator[str]:
    """What a sidecar's outbound listener is to an application, at its simplest."""
    server = socket.create_server(("127.0.0.1", 0))

    def talk(client: socket.socket) -> None:
        with client, client.makefile("rb") as stream:
            line = stream.readline().decode()
            head = []
            while (text := stream.readline()) not in (b"\r\n", b""):
                head.append(text)
            _, _, rest = line.split(" ")[1].partition("://")
            host, _, path = rest.partition("/")
            with socket.socket(socket.AF_UNIX) as upstream:
                upstream.connect(str(hosts[host.split(":")[0]]))
                head = [item for item in head if not item.lower().startswith(b"connection")]
                upstream.sendall(
                    f"GET /{path} HTTP/1.1\r\nconnection: close\r\n".encode()
                    + b"".join(head)
                    + b"\r\n"
                )
                while data := upstream.recv(65536):
                    client.sendall(data)

    def accept() -> None:
        while True:
            try:
                client, _ = server.accept()
            except OSError:
                return
            threading.Thread(target=talk, args=(client,), daemon=True).start()

    thread = threading.Thread(target=accept, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.getsockname()[1]}"
    server.shutdown(socket.SHUT_RDWR)
    server.close()
    thread.join()


def journal(folder: Path, app: str) -> list[dict[str, object]]:
    return [json.loads(line) for line in (folder / f"{app}.jsonl").read_text().splitlines()]


def test_a_service_can_be_told_to_be_sick(tmp_path: Path) -> None:
    with served(tmp_path, "preference") as path:
        get(path, "/sick")
        assert get(path, "/health/ready") == (503, "sick\n")
        assert get(path, "/health/live") == (200, "OK\n")
        get(path, "/well")
        assert get(path, "/health/ready") == (200, "OK\n")
        assert [line["path"] for line in journal(tmp_path, "preference")] == ["/sick", "/well"]


def test_recommendation_counts_and_misbehaves(tmp_path: Path) -> None:
    with served(tmp_path, "recommendation", version="v2") as path:
        assert get(path, "/health/ready") == (200, "OK\n")
        assert get(path) == (200, "recommendation v2 from 'recommendation-v1-abc-12345': 1\n")
        assert get(path, "/misbehave") == (200, "Following requests to / will return a 503\n")
        assert get(path) == (503, "recommendation misbehavior from 'recommendation-v1-abc-12345'\n")
        assert get(path, "/behave") == (200, "Following requests to / will return 200\n")
        assert get(path, x_request_id="r-3")[1].endswith(": 3\n")
        last = journal(tmp_path, "recommendation")[-1]
        assert last["request_id"] == "r-3"
        assert (last["status"], last["counter"], last["path"]) == (200, 3, "/")


def test_the_chain_and_how_it_flattens_errors(tmp_path: Path) -> None:
    hosts = {name: tmp_path / f"{name}.sock" for name in ("preference", "recommendation")}
    with (
        proxy(hosts) as through,
        served(tmp_path, "recommendation") as last,
        served(tmp_path, "preference", proxy=through),
        served(tmp_path, "customer", proxy=through) as first,
    ):
        assert get(first) == (
            200,
            "customer => preference => recommendation v1 from 'recommendation-v1-abc-12345': 1\n",
        )
        get(last, "/misbehave")
        assert get(first) == (
            503,
            "customer => Error: 503 - preference => Error: 503 - "
            "recommendation misbehavior from 'recommendation-v1-abc-12345'\n",
        )


def test_headers_travel_with_the_request(tmp_path: Path) -> None:
    hosts = {"recommendation": tmp_path / "scripted.sock", "preference": tmp_path / "scripted.sock"}
    with (
        proxy(hosts) as through,
        served(tmp_path, "scripted"),
        served(tmp_path, "preference", proxy=through) as preference,
        served(tmp_path, "customer", proxy=through) as customer,
    ):
        sent = {
            "x_b3_traceid": "1" * 32,
            "traceparent": "00-a-b-01",
            "x_request_id": "r-1",
            "user_preference": "123",
            "authorization": "Bearer x",
            "baggage_user_agent": "Safari",
            "cookie": "stays=here",
        }
        status, body = get(preference, **sent)
        assert status == 200
        seen = json.loads(body.removeprefix("preference => "))["headers"]
        kept = {key.replace("_", "-"): value for key, value in sent.items() if key != "cookie"}
        assert {key: seen.get(key) for key in kept} == kept
        assert "cookie" not in seen
        assert seen["host"] == "recommendation:8080"
        _, body = get(customer, user_agent="Firefox")
        seen = json.loads(body.removeprefix("customer => "))["headers"]
        assert seen["baggage-user-agent"] == "Firefox"


def test_no_proxy_of_the_shell_does_not_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_PROXY", "*")
    monkeypatch.setenv("no_proxy", "*")
    with (
        proxy({"recommendation": tmp_path / "recommendation.sock"}) as through,
        served(tmp_path, "recommendation"),
        served(tmp_path, "preference", proxy=through) as path,
    ):
        assert get(path)[0] == 200


def test_a_dead_sidecar_is_a_connect_exception(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with served(tmp_path, "preference", proxy=f"http://127.0.0.1:{port}") as path:
        assert get(path) == (503, "preference => ConnectException: Connection refused\n")


def test_an_answer_that_breaks_off_is_a_socket_exception(tmp_path: Path) -> None:
    def answer(listener: socket.socket) -> None:
        connection, _ = listener.accept()
        with connection:
            connection.recv(65536)
            connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf")

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=answer, args=(listener,)).start()
        way = f"http://127.0.0.1:{listener.getsockname()[1]}"
        with served(tmp_path, "preference", proxy=way) as path:
            assert get(path) == (503, "preference => SocketException: Connection reset\n")


def test_a_small_answer_leaves_in_one_piece(tmp_path: Path) -> None:
    with served(tmp_path, "recommendation") as path, socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))
        client.sendall(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
        assert b"recommendation v1" in client.recv(65536)


def test_each_rating_that_arrives_is_stored_once() -> None:
    client = create_app(AppOptions("services.recommendation", "pod-1", "unix:x")).test_client()
    assert client.get("/ratings").text == "0\n"
    assert client.post("/ratings").text == "rating 1 stored by 'pod-1'\n"
    client.post("/ratings")
    assert client.get("/ratings").text == "2\n"


def test_two_stacks_two_ideas_of_resilience(tmp_path: Path) -> None:
    """shop goes round for any 5xx, three times; reports for 503 and 504 only, twice."""
    hosts = {name: tmp_path / f"{name}.sock" for name in ("recommendation", "scripted")}
    url = {"options": {"url": "http://scripted:8080/", "seconds": 60}}  # a machine may be busy
    with (
        proxy(hosts) as through,
        served(tmp_path, "scripted"),
        served(tmp_path, "shop", proxy=through, **url) as shop,
        served(tmp_path, "reports", proxy=through, **url) as reports,
    ):
        tries = iter(range(100))

        def ask(path: Path, target: str, script: list[dict[str, object]]) -> tuple[int, int]:
            name = f"r-{next(tries)}"
            status, _ = get(path, target, x_request_id=name, x_script=json.dumps(script))
            seen = journal(tmp_path, "scripted")
            return status, sum(line["request_id"] == name for line in seen)

        well: dict[str, object] = {"body": "stock"}
        assert ask(shop, "/", [{"status": 500}, well]) == (503, 1)
        assert ask(
            shop, "/any?by-hand=1", [{"status": 500}, {"close": "before_headers"}, well]
        ) == (
            200,
            3,
        )
        assert ask(shop, "/?by-hand=1", [{"status": 503}]) == (503, 3)
        assert ask(reports, "/", [{"status": 503}, well]) == (503, 1)
        assert ask(reports, "/?by-hand=1", [{"status": 503}, well]) == (200, 2)
        assert ask(reports, "/?by-hand=1", [{"status": 500}, well]) == (503, 1)
        assert ask(reports, "/?by-hand=1", [{"close": "before_headers"}, well]) == (503, 1)
        assert get(reports, "/health/ready") == (200, "OK\n")
        assert get(reports, "/x", x_request_id="last")[1].startswith("reports => {")
        assert journal(tmp_path, "reports")[-1]["request_id"] == "last"


def test_ext_authz_lets_those_pass_that_say_so() -> None:
    client = create_app(AppOptions("ext_authz", "guard-0", "")).test_client()
    allowed = client.post("/check/a?b=1", headers={"x-ext-authz": "allow"})
    assert (allowed.status_code, allowed.data) == (200, b"")
    assert allowed.headers["x-ext-authz-check-received"].startswith("POST localhost/check/a?b=1: ")
    refused = client.get("/", headers={"x-ext-authz": "Allow"})
    assert (refused.status_code, refused.headers["x-ext-authz-check-result"]) == (403, "denied")
    assert refused.text.startswith("denied by ext_authz for not found header `x-ext-authz: allow`")
