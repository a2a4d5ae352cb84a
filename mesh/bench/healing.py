"""How soon a mesh in containers is well again after a container was killed under load.

Two visitors ask for the page without a pause; meanwhile each kind of container is killed in turn
(``docker kill``), or restarted.  Well again: the container runs, and a request that was sent after
its end passes the whole mesh.  Failed requests are counted, retries are Istio's default.

Run as ``python -m mesh.bench.healing [mitmproxy|envoy] [rounds]``.
"""

from __future__ import annotations

import queue
import sys
import threading
import time
from dataclasses import dataclass, field

from mesh.testbed.client import TestbedError
from mesh.testbed.compose.healing import started
from mesh.testbed.compose.testbed import ComposeTestbed
from mesh.testbed.load_topology import standard_topology

VISITORS = 2
WHOLE = "customer => preference => recommendation"
KILL, RESTART = "kill", "restart"
CASES = (
    ("preference", KILL),
    ("preference-sidecar", KILL),
    ("preference-pod", KILL),
    ("preference-pod", RESTART),
    ("recommendation-v2", KILL),
    ("istio-ingressgateway-sidecar", KILL),
    ("istio-ingressgateway-pod", KILL),
    ("pilot", KILL),
    ("mixer", KILL),
)
SILENCE = 1.0
LIMIT = 120.0
"""Seconds after which a mesh is given up."""


@dataclass(slots=True)
class Visitors:
    """Who asks all the time; ``answers``: when a request was sent, whether it passed the mesh."""

    bed: ComposeTestbed
    answers: queue.SimpleQueue[tuple[float, bool]] = field(default_factory=queue.SimpleQueue)
    _enough: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> Visitors:
        for _ in range(VISITORS):
            self._come()
        return self

    def __exit__(self, *_: object) -> None:
        self._enough.set()

    def _come(self) -> None:
        threading.Thread(target=self._visit, daemon=True).start()

    def next(self) -> tuple[float, bool]:
        """Return the next answer; another visitor comes where all of them got none for a second.

        Who was connected when a pod's network went away waits for what TCP sends again, and longer
        than the pod is away.
        """
        while True:
            try:
                return self.answers.get(timeout=SILENCE)
            except queue.Empty:
                self._come()

    def _visit(self) -> None:
        while not self._enough.is_set():
            sent = time.monotonic()
            try:
                whole = self.bed.request("/").text.startswith(WHOLE)
            except TestbedError:
                whole = False
            self.answers.put((sent, whole))


def measure(bed: ComposeTestbed, name: str, way: str) -> tuple[float, int, int]:
    """Return the seconds until the mesh was well again, and failed and all requests meanwhile."""
    running = bed.containers
    workload = name.removesuffix("-sidecar").removesuffix("-pod")
    alone = name in ("pilot", "mixer")
    service = name if alone else bed.find(workload).name + name[len(workload) :]
    container = running.container(service)
    before = started(running, service)
    failed = count = 0
    with Visitors(bed) as visitors:
        while not visitors.next()[1]:
            pass
        first = time.monotonic()
        if way == KILL:
            container.kill()
        else:
            container.restart(timeout=0)
        back = 0.0
        while True:
            sent, whole = visitors.next()
            failed, count = failed + (not whole), count + 1
            if back and whole and sent > back:
                return time.monotonic() - first, failed, count
            if not back and started(running, service) not in ("", before):
                back = time.monotonic()
            if time.monotonic() - first > LIMIT:
                raise SystemExit(f"{name} was not mended within {LIMIT:g} s")


def main(engine: str = "mitmproxy", rounds: str = "1") -> None:
    """Measure and print."""
    with ComposeTestbed(standard_topology(), engine=engine, seed="bench") as bed:
        for _ in range(int(rounds)):
            for name, way in CASES:
                seconds, failed, count = measure(bed, name, way)
                print(f"{engine:10} {way:8} {name:30} {seconds:6.2f} s  {failed} of {count} failed")


if __name__ == "__main__":
    main(*sys.argv[1:])
