"""``make prove``: the kill matrix, every variant against every check.

A wrong answer is *killed* when the checks fail that should; one that survives is a hole in the
grader.  A right answer that loses anything is a false fail.  Both are defects of the kit, and make
the command fail.
"""

from __future__ import annotations

import json
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.console import Console
from rich.markup import escape

from grader.evidence.sequential import ALPHA, BETA
from grader.lab import LabDefinition, all_labs, find_lab
from grader.proof.bench import Bench
from grader.proof.variants import REFUSED, Variant, variants
from grader.report.terminal import make_console
from grader.result import versions
from grader.run import Options, check_options, guarded, mesh_failures
from mesh.state import write_atomic

LATEST = Path("runs/prove/latest.json")
EXIT_PROVED, EXIT_HOLES = 0, 1


@dataclass(frozen=True, slots=True)
class Line:
    """One variant: what failed, what should have (empty: any), and whether that fits."""

    lab: int
    name: str
    kind: str
    why: str
    failed: list[str]
    should: list[str]
    ungradable: list[str]
    sound: bool
    seconds: float


def line(lab: int, variant: Variant, failed: set[str], ungradable: set[str], spent: float) -> Line:
    """Compare what the checks said with what they should have said."""
    sound = not ungradable and (
        variant.caught(failed) or (not variant.right and failed == {REFUSED})
    )
    return Line(
        lab,
        variant.name,
        variant.kind,
        variant.why,
        sorted(failed),
        sorted(variant.lose or ()),
        sorted(ungradable),
        sound,
        round(spent, 2),
    )


def prove_all(lab_number: int | None, engine: str, generated: bool, out: Path = LATEST) -> int:
    """``grade prove``: returns 1 when a wrong answer survived or a right one lost something."""
    console = make_console()

    def run() -> int:
        check_options(Options(engine))
        labs = all_labs() if lab_number is None else (find_lab(lab_number),)
        labs = tuple(lab for lab in labs if engine in lab.engines)
        found: list[Line] = []
        for lab in labs:
            found += prove_lab(console, lab, engine, generated)
            write(out, found, engine)
        return summary(console, found, out)

    return guarded(console, run)


def prove_lab(console: Console, lab: LabDefinition, engine: str, generated: bool) -> list[Line]:
    """All variants of one lab, on one mesh; prints each."""
    found: list[Line] = []
    with tempfile.TemporaryDirectory(prefix="prove-") as folder:
        known = variants(lab, Path(folder), generated=generated)
        console.print(f"Lab {lab.number}, {lab.title}: {len(known)} variants", style="bold")
        with mesh_failures(), Bench(lab, engine, Path(folder)) as bench:
            for item in known:
                said = bench.judge(item.files)
                one = line(lab.number, item, set(said.failed), set(said.ungradable), said.seconds)
                found.append(one)
                show(console, one)
    return found


def show(console: Console, one: Line) -> None:
    """One line of the matrix."""
    sign = "[green]✓[/]" if one.sound else "[red]✗[/]"
    said = ", ".join([*one.failed, *(f"ungradable: {each}" for each in one.ungradable)])
    should = f" (should: {', '.join(one.should)})" if one.should and not one.sound else ""
    text = escape(f"{one.kind:10} {one.name}: {said or 'passes'}{should}")
    console.print(f" {sign} {text} [dim]({one.seconds:.1f} s)[/]", soft_wrap=True)


def totals(found: list[Line]) -> dict[str, int]:
    """The counts of the matrix."""
    wrong = [each for each in found if each.kind in ("wrong", "generated")]
    right = [each for each in found if each.kind in ("right", "equivalent")]
    return {
        "wrong": len(wrong),
        "killed": sum(each.sound for each in wrong),
        "right": len(right),
        "false_fails": sum(bool(each.failed) for each in right),
        "ungradable": sum(bool(each.ungradable) for each in found),
    }


def write(out: Path, found: list[Line], engine: str) -> None:
    """Write ``runs/prove/latest.json``."""
    out.parent.mkdir(parents=True, exist_ok=True)
    data = {
        "when": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "engine": engine,
        "versions": versions(),
        "expected": {"false_fail_per_random_check": ALPHA, "miss_per_random_check": BETA},
        "totals": totals(found),
        "mutants": [asdict(each) for each in found],
    }
    write_atomic(out, json.dumps(data, indent=2, ensure_ascii=False) + "\n")


def summary(console: Console, found: list[Line], out: Path) -> int:
    """The kill rate and the false fails, observed beside expected."""
    count = totals(found)
    rate = count["killed"] / count["wrong"] if count["wrong"] else 1.0
    console.print(
        f"\nkilled {count['killed']} of {count['wrong']} wrong answers ({rate:.1%}; expected: a "
        f"random check misses at most {BETA:g}), {count['false_fails']} false fails in "
        f"{count['right']} right ones (expected: at most {ALPHA:g} a random check), "
        f"{count['ungradable']} ungradable\n{out}",
        soft_wrap=True,
    )
    return EXIT_PROVED if all(each.sound for each in found) else EXIT_HOLES
