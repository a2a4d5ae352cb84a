"""What mutual TLS costs: CPU per request with it and without, and handshakes per second.

Run as ``python -m mesh.bench.tls [--requests N] [--rounds N] [--engine NAME]``; it prints a table and
writes ``runs/bench/tls.json``.  A client's sidecar sends to a backend's, both on this machine.  Four ways,
in turn on one mesh: mutual TLS or plain text (PeerAuthentication DISABLE), on connections that are kept
or on one for each request (DestinationRule ``maxRequestsPerConnection: 1``), where every request is a
handshake.  CPU is that of all processes of the mesh.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import sys
from pathlib import Path

from rich.console import Console
from rich.table import Table

from mesh.bench.load import send
from mesh.bench.process import cpu_seconds
from mesh.state import write_atomic
from mesh.testbed.base import ENGINES
from mesh.testbed.client import TestbedError
from mesh.testbed.engines import engine as engine_named
from mesh.testbed.load_topology import load_topology
from mesh.testbed.local import LocalTestbed

Figures = dict[str, float]
ROOT = Path(__file__).parents[2]
TOPOLOGY = {"gateway": False, "services": {"backend": None, "client": None}}
BACKEND = "backend:8080"
PLAIN = """\
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: default, namespace: tutorial}
spec: {mtls: {mode: DISABLE}}
"""
FRESH = """\
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: backend, namespace: tutorial}
spec:
  host: backend
  trafficPolicy: {connectionPool: {http: {maxRequestsPerConnection: 1}}}
"""
WAYS = {
    "plain text": [PLAIN],
    "mutual TLS": [],
    "plain text, a connection each": [PLAIN, FRESH],
    "mutual TLS, a connection each": [FRESH],
}


def measure(mesh: LocalTestbed, requests: int) -> Figures:
    """Send ``requests`` requests on 8 connections; ``handshakes`` are those of the backend's sidecar."""
    owner = mesh.run.owner()
    assert owner is not None
    handshakes, cpu = _handshakes(mesh), cpu_seconds(owner.pid)
    port = int(mesh.proxy_url("client").rpartition(":")[2])
    figures: Figures = send(port, requests, "/", BACKEND)
    made = _handshakes(mesh) - handshakes
    return {
        "cpu_ms": (cpu_seconds(owner.pid) - cpu) * 1000 / figures["requests"],
        "rps": figures["rps"],
        "p50_ms": figures["p50_ms"],
        "p99_ms": figures["p99_ms"],
        "errors": figures["errors"],
        "handshakes": made,
        "handshakes_s": made / figures["seconds"],
    }


def _handshakes(mesh: LocalTestbed) -> int:
    return sum(mesh.stats("backend", r"^listener\..*\.ssl\.handshake$").values())


def compare(engine: str, requests: int, rounds: int) -> dict[str, Figures]:
    """Measure all ways in turn, ``rounds`` times; medians, and what mutual TLS adds in CPU."""
    seen: dict[str, list[Figures]] = {way: [] for way in WAYS}
    with LocalTestbed(load_topology(TOPOLOGY), engine=engine) as mesh:
        for _ in range(rounds):
            for way, texts in WAYS.items():
                applied = [(f"{number}.yaml", text) for number, text in enumerate(texts)]
                if applied:
                    mesh.apply(applied)
                measure(mesh, max(requests // 10, 1))  # connections and caches
                seen[way].append(measure(mesh, requests))
                mesh.apply([])
    found = {
        way: {key: statistics.median(each[key] for each in rows) for key in rows[0]}
        for way, rows in seen.items()
    }
    for way, figures in found.items():
        figures["mtls_cpu_ms"] = figures["cpu_ms"] - found[f"plain text{way[10:]}"]["cpu_ms"]
    return found


def main() -> int:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(prog="python -m mesh.bench.tls", description=__doc__)
    parser.add_argument("--requests", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--engine", choices=ENGINES, help="default: those that are there")
    options = parser.parse_args()
    console = Console(width=None if sys.stdout.isatty() else 140)
    console.print(f"{platform.machine()}, {os.cpu_count()} cores, {options.rounds} rounds, medians")
    result: dict[str, dict[str, Figures]] = {}
    for engine in [options.engine] if options.engine else ENGINES:
        try:
            engine_named(engine).check()
        except TestbedError as problem:
            console.print(f"{engine}: {problem}")
            continue
        rows = result[engine] = compare(engine, options.requests, options.rounds)
        shown = Table(title=f"From sidecar to sidecar, {engine}", title_justify="left")
        for column in ("", *next(iter(rows.values()))):
            shown.add_column(column, justify="right" if column else "left")
        for way, figures in rows.items():
            shown.add_row(way, *(f"{value:.4g}" for value in figures.values()))
        console.print(shown)
    path = ROOT / "runs" / "bench" / "tls.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, json.dumps({"rounds": options.rounds, **result}, indent=2) + "\n")
    console.print(f"written to {path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
