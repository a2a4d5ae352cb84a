"""``make bench``: measure, print tables, write ``runs/bench/latest.json``; PART=chain measures one part.

A part alone is written to ``runs/bench/PART.json``.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from rich.console import Console

from mesh.bench import analysis, chain, scale, scaling, testbeds, tls
from mesh.bench.grading import submissions
from mesh.bench.proxies import load, proxies
from mesh.bench.rounds import Figures, interleaved, table
from mesh.state import write_atomic

ROOT = Path(__file__).parents[2]
ENGINES = ("mitmproxy", "envoy")


@dataclass(frozen=True, slots=True)
class Options:
    """``rounds`` and ``requests`` of one hop; ``submissions`` graded for each JOBS, 0 for none."""

    rounds: int = 5
    requests: int = 3000
    submissions: int = 4


@dataclass(frozen=True, slots=True)
class Part:
    """What is measured under one title."""

    title: str
    measure: Callable[[Options], dict[str, Figures]]


def hop(options: Options) -> dict[str, Figures]:
    """One proxy hop, three proxies."""
    with tempfile.TemporaryDirectory(prefix="mlb-") as folder, proxies(Path(folder)) as found:
        for each in found:
            load(each, options.requests // 5)  # connections, caches and JIT-less warm-up
        measures = {each.name: partial(load, each, options.requests) for each in found}
        rows = interleaved(measures, options.rounds)
    stock = rows["stock mitmdump"]["cpu_ms"]
    envoy = rows.get("Envoy", {}).get("cpu_ms")
    for figures in rows.values():
        figures["x stock"] = figures["cpu_ms"] / stock
        figures["x Envoy"] = figures["cpu_ms"] / envoy if envoy else float("nan")
    return rows


def mesh(options: Options) -> dict[str, Figures]:
    """The whole mesh of lab 1, and how soon the lab is scored."""
    del options
    rows = interleaved({each: partial(testbeds.measure, each) for each in ENGINES}, 3)
    labs = interleaved({each: partial(testbeds.lab_seconds, ROOT, each) for each in ENGINES}, 3)
    return {name: figures | labs[name] for name, figures in rows.items()}


def telemetry(options: Options) -> dict[str, Figures]:
    """The same mesh with and without spans."""
    del options
    measures = {
        f"{each}, {percent:g} % traced": partial(testbeds.measure, each, 1000, percent)
        for each in ENGINES
        for percent in (100.0, 0.0)
    }
    return interleaved(measures, 3)


def secured(options: Options) -> dict[str, Figures]:
    """Mutual TLS between two sidecars."""
    del options
    return {
        f"{each}, {way}": figures
        for each in ENGINES
        for way, figures in tls.compare(each, 1000, 3).items()
    }


def grading(options: Options) -> dict[str, Figures]:
    """Submissions of lab 1 with more and more meshes at once."""
    rows: dict[str, Figures] = {}
    for jobs in (1, 2, 4) if options.submissions else ():
        with tempfile.TemporaryDirectory(prefix="mlb-") as folder:
            rows[f"JOBS={jobs}"] = submissions(Path(folder), jobs, options.submissions)
    return rows


PARTS = {
    "hop": Part("One hop, 40-byte answers, 8 connections", hop),
    "chain": Part(
        "A chain of three applications and five proxies",
        lambda options: chain.measure(options.rounds, options.requests // 5),
    ),
    "bodies": Part(
        "One hop, answers and uploads of growing size",
        lambda options: scaling.bodies(min(options.rounds, 3), options.requests),
    ),
    "routes": Part(
        "One hop, growing number of routes",
        lambda options: scaling.routes(min(options.rounds, 3), options.requests // 3),
    ),
    "mesh": Part("The mesh of lab 1: five proxies, four applications", mesh),
    "telemetry": Part("The same with tracing on and off", telemetry),
    "tls": Part("From sidecar to sidecar, mutual TLS and plain text", secured),
    "analyze": Part(
        "meshctl analyze, CPU seconds", lambda options: {"1000 resources": analysis.measure()}
    ),
    "grading": Part("Submissions of lab 1", grading),
    "scale": Part("The control plane by services in the mesh, CPU", lambda _options: scale.rows()),
    "clients": Part("500 ADS clients at once", lambda _options: {"": scale.alone("clients", 500)}),
    "envoy": Part(
        "A real Envoy with 2,000 clusters", lambda _options: {"": scale.alone("envoy", 2000)}
    ),
}


def main() -> int:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--part", choices=list(PARTS), help="measure this part only")
    usual = Options()
    parser.add_argument("--rounds", type=int, default=usual.rounds)
    parser.add_argument("--requests", type=int, default=usual.requests)
    parser.add_argument("--submissions", type=int, default=usual.submissions, help="0: none")
    given = parser.parse_args()
    options = Options(given.rounds, given.requests, given.submissions)
    console = Console(width=None if sys.stdout.isatty() else 120)
    busy = f"load {os.getloadavg()[0]:.1f}"
    console.print(
        f"{platform.machine()}, {os.cpu_count()} cores, {busy}, {options.rounds} rounds, medians"
    )
    result: dict[str, object] = {"rounds": options.rounds}
    for name in [given.part] if given.part else PARTS:
        rows = PARTS[name].measure(options)
        if rows:
            console.print(table(PARTS[name].title, rows))
        result[name] = rows
    path = ROOT / "runs" / "bench" / f"{given.part or 'latest'}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, json.dumps(result, indent=2) + "\n")
    console.print(f"written to {path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
