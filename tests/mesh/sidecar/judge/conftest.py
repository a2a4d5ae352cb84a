"""The judge: a real Envoy with a static configuration, and upstreams that say what they got."""

from __future__ import annotations

import contextlib
import http.client
import http.server
import importlib.util
import json
import subprocess
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

HCM = "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3"
FILTERS = "type.googleapis.com/envoy.extensions.filters.http"


def envoy_binary() -> Path:
    spec = importlib.util.find_spec("envoy")
    places = list(spec.submodule_search_locations or []) if spec else []
    for place in places:
        binary = Path(place) / "_bin" / "envoy"
        if binary.exists():
            return binary
    pytest.skip("the real Envoy is not installed")


@dataclass
class Answer:
    status: int
    headers: list[tuple[str, str]]
    body: bytes

    def header(self, name: str) -> str | None:
        values = [value for key, value in self.headers if key.lower() == name]
        return ",".join(values) if values else None

    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Judge:
    process: subprocess.Popen[str]
    admin: int
    port: int

    def request(
        self,
        path: str = "/",
        method: str = "GET",
        host: str = "a",
        headers: list[tuple[str, str]] | None = None,
    ) -> Answer:
        connection = http.client.HTTPConnection("127.0.0.1", self.port)
        with contextlib.closing(connection):
            connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
            connection.putheader("host", host)
            for name, value in headers or []:
                connection.putheader(name, value.encode("latin-1"))
            connection.endheaders()
            response = connection.getresponse()
            return Answer(response.status, response.getheaders(), response.read())

    def admin_get(self, path: str, method: str = "GET") -> bytes:
        connection = http.client.HTTPConnection("127.0.0.1", self.admin)
        with contextlib.closing(connection):
            connection.request(method, path)
            return connection.getresponse().read()

    def stats(self, prefix: str) -> dict[str, int]:
        lines = self.admin_get("/stats").decode().splitlines()
        pairs = (line.split(": ") for line in lines if line.startswith(prefix))
        return {name[len(prefix) :]: int(value) for name, value in pairs if value.isdigit()}


@dataclass
class Backend:
    """Answers with the request as JSON; ``script`` gives statuses to answer with, in turn."""

    server: http.server.ThreadingHTTPServer
    script: list[tuple[int, dict[str, str]]] = field(default_factory=list)
    seen: list[dict[str, Any]] = field(default_factory=list)

    @property
    def port(self) -> int:
        return int(self.server.server_address[1])


@pytest.fixture
def backend() -> Iterator[Callable[[], Backend]]:
    """Make upstreams on ports of their own."""
    running: list[Backend] = []

    def make() -> Backend:
        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def do_GET(self) -> None:
                seen = {
                    "method": self.command,
                    "path": self.requestline.split(" ")[1],  # self.path has // made /
                    "headers": [[key.lower(), value] for key, value in self.headers.items()],
                    "port": self.server.server_address[1],
                }
                made.seen.append(seen)
                status, extra = made.script.pop(0) if made.script else (200, {})
                if status == 0:
                    self.close_connection = True
                    return
                body = json.dumps(seen).encode()
                self.send_response(status)
                for name, value in extra.items():
                    self.send_header(name, value)
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            do_POST = do_OPTIONS = do_PUT = do_DELETE = do_GET  # noqa: N815

            def log_message(self, *args: object) -> None:
                pass

        made = Backend(http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler))
        made.server.daemon_threads = True
        threading.Thread(target=made.server.serve_forever, args=(0.05,), daemon=True).start()
        running.append(made)
        return made

    yield make
    for made in running:
        made.server.shutdown()
        made.server.server_close()


@pytest.fixture
def judge(tmp_path: Path) -> Iterator[Callable[..., Judge]]:
    """Start Envoy with a route configuration and clusters (dictionaries of Envoy's JSON)."""
    running: list[subprocess.Popen[str]] = []
    readers: list[threading.Thread] = []

    def start(
        route_config: dict[str, Any],
        clusters: list[dict[str, Any]] | None = None,
        filters: list[dict[str, Any]] | None = None,
        manager: dict[str, Any] | None = None,
        **more: Any,
    ) -> Judge:
        router = {
            "name": "envoy.filters.http.router",
            "typed_config": {"@type": f"{FILTERS}.router.v3.Router"},
        }
        connection_manager = {
            "@type": f"{HCM}.HttpConnectionManager",
            "stat_prefix": "judge",
            "route_config": route_config,
            "http_filters": [*(filters or []), router],
            "generate_request_id": False,
            **(manager or {}),
        }
        listener = {
            "name": "judge",
            "address": {"socket_address": {"address": "127.0.0.1", "port_value": 0}},
            "filter_chains": [
                {
                    "filters": [
                        {
                            "name": "envoy.filters.network.http_connection_manager",
                            "typed_config": connection_manager,
                        }
                    ]
                }
            ],
        }
        admin_file = tmp_path / f"admin-{len(running)}"
        bootstrap = {
            "admin": {"address": {"socket_address": {"address": "127.0.0.1", "port_value": 0}}},
            "static_resources": {"listeners": [listener], "clusters": clusters or []},
            **more,
        }
        path = tmp_path / f"bootstrap-{len(running)}.json"
        path.write_text(json.dumps(bootstrap))
        command = [str(envoy_binary()), "-c", str(path), "--disable-hot-restart"]
        command += ["--concurrency", "1", "--admin-address-path", str(admin_file), "-l", "info"]
        process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        running.append(process)
        assert process.stderr is not None
        said = []
        for line in process.stderr:
            said.append(line)
            if "starting workers" in line:
                break
        else:
            raise AssertionError("Envoy did not start: " + "".join(said[-5:]))
        reader = threading.Thread(target=process.stderr.read, daemon=True)
        reader.start()
        readers.append(reader)
        made = Judge(process, int(admin_file.read_text().rpartition(":")[2]), 0)
        listeners = json.loads(made.admin_get("/listeners?format=json"))
        status = listeners["listener_statuses"][0]
        made.port = status["local_address"]["socket_address"]["port_value"]
        return made

    yield start
    for process in running:
        process.kill()
        process.wait()
    for reader in readers:
        reader.join()
    for process in running:
        assert process.stderr is not None
        process.stderr.close()
