"""``make bench``: run every measurement in turn, print a table, write ``runs/bench/latest.json``."""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

from rich.console import Console
from rich.table import Table

from mesh.bench import analysis, testbeds, tls
from mesh.bench.grading import submissions
from mesh.bench.proxies import load, proxies
from mesh.state import write_atomic

Figures = dict[str, float]
ROOT = Path(__file__).parents[2]


def medians(rounds: list[Figures]) -> Figures:
    """The median of each figure over the rounds."""
    return {key: statistics.median(each[key] for each in rounds) for key in rounds[0]}


def interleaved(measures: dict[str, Callable[[], Figures]], rounds: int) -> dict[str, Figures]:
    """Run all measures in turn, ``rounds`` times, and return their medians.

    What the machine does meanwhile then falls on all of them alike.
    """
    seen: dict[str, list[Figures]] = {name: [] for name in measures}
    for _ in range(rounds):
        for name, measure in measures.items():
            seen[name].append(measure())
    return {name: medians(each) for name, each in seen.items()}


def hop(rounds: int, requests: int) -> dict[str, Figures]:
    """One proxy hop, three proxies."""
    with tempfile.TemporaryDirectory(prefix="mlb-") as folder, proxies(Path(folder)) as found:
        for each in found:
            load(each, requests // 5)  # connections, caches and JIT-less warm-up
        return interleaved({each.name: partial(load, each, requests) for each in found}, rounds)


def table(title: str, rows: dict[str, Figures]) -> Table:
    """The figures as a table: a row a variant, a column a figure."""
    result = Table(title=title, title_justify="left")
    result.add_column("")
    columns = list(next(iter(rows.values())))
    for column in columns:
        result.add_column(column, justify="right")
    for name, figures in rows.items():
        result.add_row(name, *(f"{figures[column]:.4g}" for column in columns))
    return result


def main() -> int:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--requests", type=int, default=3000)
    parser.add_argument("--submissions", type=int, default=4, help="graded for each JOBS; 0: none")
    options = parser.parse_args()
    console = Console(width=None if sys.stdout.isatty() else 120)
    engines = ("mitmproxy", "envoy")
    console.print(f"{platform.machine()}, {os.cpu_count()} cores, {options.rounds} rounds, medians")

    one_hop = hop(options.rounds, options.requests)
    stock = one_hop["stock mitmdump"]["cpu_ms"]
    envoy = one_hop.get("Envoy", {}).get("cpu_ms")
    for figures in one_hop.values():
        figures["x stock"] = figures["cpu_ms"] / stock
        figures["x Envoy"] = figures["cpu_ms"] / envoy if envoy else float("nan")
    console.print(table("One hop, 40-byte answers, 8 connections", one_hop))

    mesh = interleaved({each: partial(testbeds.measure, each) for each in engines}, 3)
    telemetry = interleaved(
        {
            f"{each}, {percent:g} % traced": partial(testbeds.measure, each, 1000, percent)
            for each in engines
            for percent in (100.0, 0.0)
        },
        3,
    )
    lab = interleaved(
        {each: partial(testbeds.lab_seconds, ROOT, each) for each in engines},
        3,
    )
    for name, figures in mesh.items():
        figures |= lab[name.partition(",")[0]]  # a lab is scored as it is, with mutual TLS
    console.print(table("The mesh of lab 1: five proxies, four applications", mesh))

    console.print(table("The same with tracing on and off", telemetry))

    secured = {
        f"{each}, {way}": figures
        for each in engines
        for way, figures in tls.compare(each, 1000, 3).items()
    }
    console.print(table("From sidecar to sidecar, mutual TLS and plain text", secured))

    reading = {"1000 resources": analysis.measure()}
    console.print(table("meshctl analyze, CPU seconds", reading))

    grading: dict[str, Figures] = {}
    for jobs in (1, 2, 4) if options.submissions else ():
        with tempfile.TemporaryDirectory(prefix="mlb-") as folder:
            figures = submissions(Path(folder), jobs, options.submissions)
            grading[f"JOBS={jobs}"] = figures
    if grading:
        console.print(table("Submissions of lab 1", grading))

    path = ROOT / "runs" / "bench" / "latest.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    result = {"hop": one_hop, "mesh": mesh, "analyze": reading, "rounds": options.rounds}
    result["telemetry"] = telemetry
    result["tls"] = secured
    result["grading"] = grading
    write_atomic(path, json.dumps(result, indent=2) + "\n")
    console.print(f"written to {path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
