"""``make prove-flake``: right answers again and again, quiet and with every processor busy.

What a grader may never do is fail a right answer.  No number of runs proves that it never will;
``n`` runs without a failure bound the rate: below ``1 - 0.05^(1/n)`` with 95 % confidence (some
``3/n``).  The exact bound (Clopper and Pearson) is printed, beside what the tests promise.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.console import Console

from grader.checks import load_checks
from grader.evidence.sequential import ALPHA
from grader.lab import LabDefinition, LabError, all_labs, find_lab
from grader.proof.bench import Bench, stress
from grader.proof.variants import variants
from grader.report.terminal import make_console
from grader.run import Options, check_options, guarded, mesh_failures
from mesh.state import write_atomic

FLAKE = Path("runs/prove/flake.json")
AGAIN = (sys.executable, "-m", "grader.proof.flake")


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


def prove_flake(
    lab_number: int | None, runs: int, engine: str, jobs: int = 1, out: Path = FLAKE
) -> int:
    """``grade prove-flake``: returns 1 when a right answer lost anything.

    ``jobs`` labs at once, each in a process of its own: sooner done, and never quiet.
    """
    console = make_console()

    def run() -> int:
        check_options(Options(engine))
        labs = all_labs() if lab_number is None else (find_lab(lab_number),)
        labs = tuple(lab for lab in labs if engine in lab.engines)
        shares = [
            (lab, share)
            for number, lab in enumerate(labs)
            if (share := runs // len(labs) + (number < runs % len(labs)))
        ]
        if jobs == 1 or len(shares) == 1:
            counts = [each for lab, share in shares for each in repeat(console, lab, share, engine)]
        else:
            counts = side_by_side(console, shares, engine, jobs)
        return summary(console, counts, out, labs)

    return guarded(console, run)


def side_by_side(
    console: Console, shares: list[tuple[LabDefinition, int]], engine: str, jobs: int
) -> list[Count]:
    """Several labs at once, by this very command for each; LabError when one could not run."""
    with tempfile.TemporaryDirectory(prefix="prove-flake-") as folder:

        def one(share: tuple[LabDefinition, int]) -> list[Count]:
            lab, runs = share
            out = Path(folder) / f"{lab.number}.json"
            # In this process group: Ctrl-C and a closed terminal end them all.
            with subprocess.Popen(
                [*AGAIN, str(lab.number), str(runs), engine, str(out)],
                stdout=subprocess.PIPE,
                text=True,
            ) as child:
                assert child.stdout is not None
                lines = [line.rstrip() for line in child.stdout]
            told = [line for line in lines if line.startswith(("Lab ", " ✗"))]
            console.print("\n".join(told), markup=False, soft_wrap=True)
            if not out.exists():
                said = lines[-1] if lines else f"it ended with exit code {child.returncode}"
                raise LabError(f"Lab {lab.number} was not tried: {said}")
            return [Count(**each) for each in json.loads(out.read_text())["counts"]]

        with ThreadPoolExecutor(jobs) as pool:
            return [count for counts in pool.map(one, shares) for count in counts]


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
            with mesh_failures(), busy, Bench(lab, engine, Path(folder)) as bench:
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


if __name__ == "__main__":
    number, runs, engine, out = sys.argv[1:]
    sys.exit(prove_flake(int(number), int(runs), engine, out=Path(out)))
