"""The whole mesh of lab 1: how soon it is ready, what it weighs, what a request through it costs."""

from __future__ import annotations

import sys
import time
from pathlib import Path

from mesh.bench.load import send
from mesh.bench.process import cpu_seconds, output, pss_bytes
from mesh.testbed.load_topology import standard_topology
from mesh.testbed.local import LocalTestbed


def measure(engine: str, requests: int = 300, sampling: float = 100.0) -> dict[str, float]:
    """Start the mesh, load it, stop it.

    ``ready_s`` until the configuration is in force, ``pss_mb`` of all its processes, ``rps`` and
    latencies of requests that pass five proxies and three applications, ``cpu_ms`` per request of
    all processes together.  ``sampling``: percent of the requests that become spans.
    """
    begin = time.perf_counter()
    with LocalTestbed(standard_topology(), engine=engine, sampling=sampling) as mesh:
        ready = time.perf_counter() - begin
        owner = mesh.run.owner()
        assert owner is not None
        port = int(mesh.gateway_url.rpartition(":")[2])
        before = cpu_seconds(owner.pid)
        figures = send(port, requests)
        return {
            "ready_s": ready,
            "pss_mb": pss_bytes(owner.pid) / 1e6,
            "rps": figures["rps"],
            "p50_ms": figures["p50_ms"],
            "p99_ms": figures["p99_ms"],
            "errors": figures["errors"],
            "cpu_ms": (cpu_seconds(owner.pid) - before) * 1000 / figures["requests"],
        }


def lab_seconds(root: Path, engine: str) -> dict[str, float]:
    """Return ``score_s``, the seconds from ``make lab-1 SOLUTION=1`` to its score, once everything is installed."""
    begin = time.perf_counter()
    arguments = ["lab", "1", "--solution", "--engine", engine]
    output([sys.executable, "-m", "grader.cli", *arguments], cwd=root)
    return {"score_s": time.perf_counter() - begin}
