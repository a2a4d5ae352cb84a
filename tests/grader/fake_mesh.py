"""A stand-in for the mesh: one HTTP server that does what the routes say.

It lets the tests run the whole of a lab (real files, real driver, real checks) in a second; the
real mesh has its own test in ``tests/labs``.
"""

from __future__ import annotations

import http.server
import random
import threading
from typing import Any

from mesh.accesslog import AccessLogRecord
from mesh.topology import Pod

HOSTS = ("recommendation", "recommendation.tutorial.svc.cluster.local")


def pod(version: str) -> Pod:
    labels = {"app": "recommendation", "version": version}
    name = f"recommendation-{version}-0"
    return Pod(name, "tutorial", "recommendation", name[:-2], labels, "", "127.0.0.1", {})


class FakeMesh:
    def __init__(self, *, seed: int = 1, drop_every: int = 0) -> None:
        self.stopped = False
        self.applied = 0
        self.drop_every = drop_every
        self._pods = (pod("v1"), pod("v2"))
        self._rng = random.Random(seed)
        self._resources: tuple[Any, ...] = ()
        self._journal: list[dict[str, Any]] = []
        self._log: list[AccessLogRecord] = []
        self._count = 0
        self.told: list[tuple[str, str]] = []
        self._lock = threading.Lock()

    def start(self) -> None:
        mesh = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            wbufsize = -1  # head and body in one packet: two would wait for each other (Nagle)

            def do_GET(self) -> None:
                status, body = mesh.answer(self.headers["x-request-id"] or "")
                if not status:
                    self.close_connection = True
                    return
                self.send_response(status)
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body.encode())

            def log_message(self, *_: object) -> None:
                pass

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 128

            def handle_error(self, *_: object) -> None:
                """A client that is killed resets its connections."""

        self._server = Server(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.02}
        )
        self._thread.start()
        self.gateway_url = f"http://127.0.0.1:{self._server.server_port}"

    def apply(self, resources: Any) -> None:
        self.applied += 1
        self._resources = tuple(resources)

    def stop(self) -> None:
        self.stopped = True
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def pods(self) -> tuple[Pod, ...]:
        return self._pods

    def proxy_url(self, pod: str) -> str:
        return self.gateway_url

    def stats(self, pod: str, pattern: str) -> dict[str, int]:
        return {"cluster.x.upstream_rq_total": self._count}

    def tell(self, pod: str, path: str) -> None:
        self.told.append((pod, path))

    def access_log(self) -> tuple[AccessLogRecord, ...]:
        return tuple(self._log)

    def journal(self) -> tuple[dict[str, Any], ...]:
        return tuple(self._journal)

    def answer(self, request_id: str) -> tuple[int, str]:
        with self._lock:
            self._count += 1
            if self.drop_every and self._count % self.drop_every == 0:
                return 0, ""
            candidates, flag = self._candidates()
            if not candidates:
                self._log.append(
                    AccessLogRecord("preference-0", request_id=request_id, response_flags=flag)
                )
                return 503, ""
            chosen = self._rng.choice(candidates)
            self._journal.append({"pod": chosen.name, "request_id": request_id, "status": 200})
        version = chosen.labels["version"]
        text = f"recommendation {version} from '{chosen.name}': {self._count}\n"
        return 200, f"customer => preference => {text}"

    def _candidates(self) -> tuple[list[Pod], str]:
        specs = {"VirtualService": [], "DestinationRule": []}
        for item in self._resources:
            specs[item.kind].append(item.spec.to_json())
        routes = [spec for spec in specs["VirtualService"] if spec["hosts"][0] in HOSTS]
        if not routes:
            return list(self._pods), ""
        route = routes[0]["http"][0]["route"]
        weights = [entry.get("weight", 100 if len(route) == 1 else 0) for entry in route]
        subset = self._rng.choices(route, weights)[0]["destination"]["subset"]
        for spec in specs["DestinationRule"]:
            for known in spec.get("subsets", []):
                if known["name"] == subset:
                    labels = known["labels"].items()
                    return [each for each in self._pods if labels <= each.labels.items()], "UH"
        return [], "NC"
