"""``make prove-flake``: right answers again and again, quiet and with every processor busy.

What a grader may never do is fail a right answer.  No number of runs proves that it never will;
``n`` runs without a failure bound the rate: below ``1 - 0.05^(1/n)`` with 95 % confidence (some
``3/n``).  The exact bound (Clopper and Pearson) is printed, beside what the tests promise.
"""

from __future__ import annotations

import json
import tempfile
import time
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.console import Console

from grader.checks import load_checks
from grader.evidence.sequential import ALPHA
from grader.lab import LabDefinition, all_labs, find_lab
from grader.proof.bench import Bench, stress
from grader.proof.variants import variants
from grader.report.terminal import make_console
from grader.run import Options, check_options, guarded
from mesh.state import write_atomic

FLAKE = Path("runs/prove/flake.json")


@dataclass(slots=True)
class Count:
    """Runs of right answers of one lab under one load."""

    lab: int
    load: str
    runs: int = 0
    false_fails: int = 0
    ungradable: int = 0
    seconds: float = 0.0


def upper_bound(failures: int, runs: int, confidence: float = 0.95) -> float:
    """The exact one-sided upper bound of a rate of which ``failures`` in ``runs`` were seen."""
    if runs == 0 or failures >= runs:
        return 1.0
    if failures == 0:
        return float(1 - (1 - confidence) ** (1 / runs))
    from scipy.stats import beta

    return float(beta.ppf(confidence, failures + 1, runs - failures))


def prove_flake(lab_number: int | None, runs: int, engine: str, out: Path = FLAKE) -> int:
    """``grade prove-flake``: returns 1 when a right answer lost anything."""
    console = make_console()

    def run() -> int:
        check_options(Options(engine))
        labs = all_labs() if lab_number is None else (find_lab(lab_number),)
        labs = tuple(lab for lab in labs if engine in lab.engines)
        counts: list[Count] = []
        for number, lab in enumerate(labs):
            share = runs // len(labs) + (number < runs % len(labs))
            counts += repeat(console, lab, share, engine)
        return summary(console, counts, out, labs)

    return guarded(console, run)


def repeat(console: Console, lab: LabDefinition, runs: int, engine: str) -> list[Count]:
    """Half of the runs quiet, half under stress; the right variants take turns."""
    found = []
    with tempfile.TemporaryDirectory(prefix="prove-") as folder:
        right = [each for each in variants(lab, Path(folder), generated=False) if each.right]
        for load, share in (("quiet", runs - runs // 2), ("stress", runs // 2)):
            count = Count(lab.number, load)
            busy = stress() if load == "stress" else nullcontext()
            if not share:
                continue
            with busy, Bench(lab, engine, Path(folder)) as bench:
                for number in range(share):
                    variant = right[number % len(right)]
                    said = bench.judge(variant.files, anew=True)
                    count.runs += 1
                    count.false_fails += bool(said.failed)
                    count.ungradable += bool(said.ungradable)
                    count.seconds += said.seconds
                    if said.failed or said.ungradable:
                        names = ", ".join([*said.failed, *said.ungradable])
                        console.print(f" ✗ lab {lab.number}, {load}, {variant.name}: {names}")
            found.append(count)
            console.print(
                f"Lab {lab.number}, {load}: {count.runs} runs, {count.false_fails} false fails, "
                f"{count.ungradable} ungradable, {count.seconds / count.runs:.1f} s a run"
            )
    return found


def summary(
    console: Console, counts: list[Count], out: Path, labs: tuple[LabDefinition, ...]
) -> int:
    """The observed rate, its bound, and the promised one."""
    runs = sum(each.runs for each in counts)
    failures = sum(each.false_fails for each in counts)
    checks = max(len(load_checks(lab.folder / "checks.py").checks) for lab in labs)
    bound, promised = upper_bound(failures, runs), checks * ALPHA
    console.print(
        f"\n{failures} false fails in {runs} runs of right answers: below {bound:.2%} with 95 % "
        f"confidence; the tests promise at most {promised:.0e} a run ({checks} checks).\n{out}",
        soft_wrap=True,
    )
    data = {
        "when": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "runs": runs,
        "false_fails": failures,
        "upper_bound_95": bound,
        "promised_per_run": promised,
        "counts": [asdict(each) for each in counts],
    }
    out.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(out, json.dumps(data, indent=2) + "\n")
    return int(failures > 0)
