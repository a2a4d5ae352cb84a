"""``python -m mesh.bench.scale``: what the control plane costs in meshes of 100 to 100,000 services.

A mesh of each size (``mesh.bench.synthetic``) is made in a process of its own and measured:

    first        translating for one sidecar whose Sidecar resource names what its team calls
    update       one DestinationRule of a service it calls is applied: from YAML to bytes to be sent
    elsewhere    the same for a service that it does not call: nothing may be translated
    whole        translating for one sidecar that knows every service (up to ``--whole`` services)
    whole update one DestinationRule for that sidecar, up to what has to be sent to it
    memory       of the control plane, without and with what it translated

Times are CPU seconds, so that other work on the machine does not count.  Then 500 real ADS clients
hold a stream each (``mesh.bench.streams``), and a real Envoy takes 2,000 clusters.
Writes ``runs/bench/scale.json`` and draws ``docs/pictures/scale.svg``.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import psutil
from rich.console import Console

from mesh.bench import streams, synthetic
from mesh.bench.chart import line_chart
from mesh.bench.rounds import Figures, table
from mesh.pilot.control_plane import ControlPlane
from mesh.pilot.store import Store
from mesh.state import write_atomic
from mesh.testbed.warm import warm_up

ROOT = Path(__file__).parents[2]
SIZES = (100, 1_000, 10_000, 100_000)
ROUNDS = 15
WHOLE = 10_000
"""The largest mesh that is translated whole."""
MEGABYTE = 1_000_000
_LEAN = """
from mesh import lean
lean.prepare("mesh.pilot.main")
from mesh.bench.scale import main
raise SystemExit(main())
"""
PICTURE = ROOT / "docs" / "pictures" / "scale.svg"


def measure(size: int, *, whole: bool) -> Figures:
    """Measure one size in this process: seconds of CPU, milliseconds for updates, megabytes."""
    warm_up()
    memory = psutil.Process().memory_info
    made = synthetic.make(size)
    with tempfile.TemporaryDirectory(prefix="mlb-") as folder:
        plane = ControlPlane(Store(Path(folder)), synthetic.ERA, registry=made.registry)
        index = _cpu(lambda: plane.update(synthetic.resources(made)))
        empty = memory().rss
        number = next(each for each in made.calls if made.calls[each])
        called, other = made.calls[number][0], _not_called(made, number)
        found: Figures = {"index s": index}
        found["first s"] = _cpu(lambda: plane.add_pods([(synthetic.node(number), None)]))
        found["update ms"] = _updates(plane, called)
        found["elsewhere ms"] = _updates(plane, other)
        found["memory MB"] = empty / MEGABYTE
        if whole:
            synthetic_node = synthetic.node(number)
            gone = [("Sidecar", synthetic_node.namespace, "default")]
            found["whole s"] = _cpu(lambda: plane.update((), gone))
            found["whole update ms"] = _updates(plane, called)
            found["whole memory MB"] = memory().rss / MEGABYTE
        return found


def _cpu(work: Callable[[], object]) -> float:
    """Return the CPU seconds of some work."""
    began = time.process_time()
    work()
    return time.process_time() - began


def _updates(plane: ControlPlane, number: int) -> float:
    """Return the CPU milliseconds of an update: reading, indexing, translating, publishing."""
    return 1000 * statistics.median(
        _cpu(partial(_apply, plane, number, errors)) for errors in range(6, 6 + ROUNDS)
    )


def _apply(plane: ControlPlane, number: int, errors: int) -> None:
    plane.update(synthetic.load(synthetic.rule(number, errors)))


def _not_called(made: synthetic.Made, number: int) -> int:
    """Return a service of which nobody in the team of ``number`` knows."""
    team = [each for each in made.calls if synthetic.namespace(each) == synthetic.namespace(number)]
    known = {callee for each in team for callee in made.calls[each]}
    return next(each for each in reversed(made.calls) if each not in known)


def of_all(sizes: list[int], whole: int) -> dict[str, Figures]:
    """Measure each size in a process of its own, one after the other."""
    return {str(size): alone("size", size, whole) for size in sizes}


def alone(task: str, number: int, whole: int = WHOLE) -> Figures:
    """Do a task in a process of its own, which imports what a control plane's does."""
    command = [sys.executable, "-c", _LEAN, "--task", task, str(number), "--whole", str(whole)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, cwd=ROOT)
    found: Figures = json.loads(done.stdout)
    return found


def _do(task: str, number: int, whole: int) -> Figures:
    if task == "size":
        return measure(number, whole=number <= whole)
    return streams.clients(number) if task == "clients" else streams.envoy(number)


def growth(found: dict[str, Figures], figure: str) -> float:
    """Return how many times the largest figure is the smallest, over all sizes from 1,000."""
    values = [each[figure] for size, each in found.items() if int(size) >= 1000]
    return max(values) / min(values) if values else 1.0


def draw(found: dict[str, Figures], path: Path) -> None:
    """Draw how updates grow with the mesh."""
    lines = {
        "update, scoped sidecar": "update ms",
        "update elsewhere": "elsewhere ms",
        "update, sidecar that knows everything": "whole update ms",
    }
    points = {
        label: [(int(size), each[figure]) for size, each in found.items() if figure in each]
        for label, figure in lines.items()
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, line_chart("What one change costs", "services", "CPU ms", points))


def rows() -> dict[str, Figures]:
    """Measure all sizes and draw them: the part of ``make bench``."""
    found = of_all(list(SIZES), WHOLE)
    draw(found, PICTURE)
    return found


def main() -> int:
    """Measure, print, write and draw."""
    parser = argparse.ArgumentParser(
        prog="python -m mesh.bench.scale",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--sizes", default=",".join(map(str, SIZES)), help="numbers of services")
    parser.add_argument("--whole", type=int, default=WHOLE, help="largest mesh for `whole`")
    parser.add_argument("--clients", type=int, default=500, help="ADS clients; 0: none")
    parser.add_argument("--clusters", type=int, default=2_000, help="of the real Envoy; 0: none")
    parser.add_argument("--plot", type=Path, default=PICTURE)
    parser.add_argument("--task", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.task:
        print(json.dumps(_do(options.task[0], int(options.task[1]), options.whole)))
        return 0
    console = Console(width=None if sys.stdout.isatty() else 120)
    found = of_all([int(each) for each in options.sizes.split(",")], options.whole)
    console.print(table("Control plane, by services in the mesh (CPU)", found))
    for figure in ("update ms", "elsewhere ms"):
        console.print(f"{figure}: x {growth(found, figure):.2g} from 1,000 services to the largest")
    result: dict[str, object] = {"sizes": found}
    if options.clients:
        held = alone("clients", options.clients)
        result["clients"] = held
        console.print(table("ADS clients at once", {str(options.clients): held}))
    if options.clusters:
        real = alone("envoy", options.clusters)
        result["envoy"] = real
        console.print(table("A real Envoy", {"": real}))
    path = ROOT / "runs" / "bench" / "scale.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, json.dumps(result, indent=2) + "\n")
    draw(found, options.plot)
    console.print(f"written to {path} and {options.plot}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
