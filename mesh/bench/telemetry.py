"""What telemetry costs: access logs on and off at one hop, and Mixer with a million records.

    python -m mesh.bench.telemetry hop        CPU and memory of a sidecar and of Envoy, log on and off
    python -m mesh.bench.telemetry records    Mixer's time and memory for each 100,000 records

Tracing on and off is in ``make bench`` (``mesh.bench.testbeds``).
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from random import Random

from rich.console import Console

from mesh.bench.process import pss_bytes
from mesh.bench.proxies import Bench, Proxy, load
from mesh.bench.rounds import interleaved, table
from mesh.envoy.supervisor import EnvoyMissingError
from mesh.mixer.report import KEPT, Report
from mesh.mixer.standard_metrics import MAX_SERIES

STEP = 100_000


@contextlib.contextmanager
def logging_proxies(folder: Path) -> Iterator[list[Proxy]]:
    """Start a sidecar and an Envoy twice, with and without access log, before one upstream."""
    with Bench(folder) as bench:
        found, nodes = [], []
        for start in (bench.sidecar, bench.envoy):
            for log in (True, False):
                node = bench.node(f"{start.__name__}-{log}", log=log)
                with contextlib.suppress(EnvoyMissingError):
                    made = start(node)
                    found.append(replace(made, name=f"{made.name}, log {'on' if log else 'off'}"))
                    nodes.append(node)
        bench.in_force(nodes)
        yield found


def hop(rounds: int, requests: int) -> dict[str, dict[str, float]]:
    """One hop with access log on and off."""
    with (
        tempfile.TemporaryDirectory(prefix="mlb-") as folder,
        logging_proxies(Path(folder)) as found,
    ):
        for each in found:
            load(each, requests // 5)
        return interleaved({each.name: partial(load, each, requests) for each in found}, rounds)


def line(number: int, rng: Random) -> bytes:
    """Return a line of an access log as a busy sidecar writes it, some 1 kB; no two are equal."""
    trace = f"{rng.getrandbits(128):032x}"
    fields = {
        "direction": "inbound",
        "start_time": f"2026-01-01T{number // 3_600_000 % 24:02}:{number // 60_000 % 60:02}:"
        f"{number // 1000 % 60:02}.{number % 1000:03}000Z",
        "method": "GET",
        "path": f"/item/{number}?user={rng.getrandbits(32)}",
        "protocol": "HTTP/1.1",
        "response_code": 503 if number % 50 == 0 else 200,
        "response_flags": "UF,URX" if number % 50 == 0 else "",
        "response_code_details": "via_upstream",
        "bytes_received": number % 7_000,
        "bytes_sent": number % 90_000,
        "duration": number % 400,
        "user_agent": "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 Chrome/120 Safari/537.36",
        "request_id": f"{trace[:8]}-{trace[8:12]}-9{trace[13:16]}-8{trace[17:20]}-{trace[20:]}",
        # Strangers invent hosts: the memory must not follow them.
        "authority": f"shop-{number}.example" if number % 10 == 0 else "backend:8080",
        "upstream_host": "127.0.0.1:41000",
        "upstream_cluster": "inbound|8080||",
        "upstream_request_attempt_count": 1,
        "upstream_hosts_attempted": "127.0.0.1:41000",
        "downstream_remote_address": f"127.0.0.1:{20_000 + number % 40_000}",
        "trace_id": trace,
        "traceparent": f"00-{trace}-{trace[:16]}-01",
        "b3_trace_id": trace,
        "b3_span_id": trace[:16],
        "b3_sampled": "1",
        "downstream_peer": "sidecar~127.0.0.1~client-0.tutorial~tutorial.svc.cluster.local",
    }
    return json.dumps(fields).encode()


def records(
    count: int, step: int = STEP, kept: int = KEPT, max_series: int = MAX_SERIES
) -> dict[str, dict[str, float]]:
    """Take ``count`` records; after each ``step``: ``pss_mb`` and ``us`` of time for a record.

    ``kept`` and ``max_series`` are Mixer's bounds.
    """
    report, rng, rows = Report(kept, max_series), Random(1), {}
    for done in range(0, count, step):
        made = [line(number, rng) for number in range(done, min(done + step, count))]
        begin = time.process_time()
        for number, each in enumerate(made):
            report.take(f"pod-{number % 20}", each)
        spent = time.process_time() - begin
        size = len(made)
        del made
        rows[f"{done + size:,} records"] = {
            "pss_mb": pss_bytes(os.getpid()) / 1e6,
            "us": spent * 1e6 / size,
            "kept": report.read - report.forgotten,
            "forgotten": report.forgotten,
        }
    return rows


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m mesh.bench.telemetry", description=__doc__)
    parser.add_argument("what", choices=("hop", "records"))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--requests", type=int, default=3000)
    parser.add_argument("--count", type=int, default=1_000_000)
    options = parser.parse_args()
    console = Console(width=None if sys.stdout.isatty() else 120)
    if options.what == "hop":
        rows = hop(options.rounds, options.requests)
        console.print(table("One hop, access log on and off", rows))
    else:
        console.print(table("Mixer's records", records(options.count)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
