"""Load for tests that replace pods: clients that would notice it."""

from __future__ import annotations

import http.client
import threading
from concurrent.futures import ThreadPoolExecutor

from mesh.testbed.mesh_testbed import MeshTestbed


class Senders:
    """Clients that send one request after another, each on one connection, until it is enough.

    They stand in the pod ``client``; ``target`` is a URL, or a path of ``host``.
    """

    def __init__(self, bed: MeshTestbed, target: str, host: str = "") -> None:
        self.statuses: list[int] = []
        self._port = int(bed.proxy_url("client").rpartition(":")[2])
        self._target = target
        self._headers = {"host": host} if host else {}
        self._enough = threading.Event()

    def __enter__(self) -> Senders:
        self._pool = ThreadPoolExecutor(4)
        self._done = [self._pool.submit(self._send) for _ in range(4)]
        return self

    def __exit__(self, *_: object) -> None:
        self._enough.set()
        for each in self._done:
            self.statuses += each.result()
        self._pool.shutdown()

    def _send(self) -> list[int]:
        seen = []
        connection = http.client.HTTPConnection("127.0.0.1", self._port)
        while not self._enough.is_set() or len(seen) < 10:
            connection.request("GET", self._target, headers=self._headers)
            answer = connection.getresponse()
            answer.read()
            seen.append(answer.status)
        connection.close()
        return seen
