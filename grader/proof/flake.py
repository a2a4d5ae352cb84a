"""``make prove-flake``: right answers again and again, quiet and with every processor busy.

What a grader may never do is fail a right answer.  No number of runs proves that it never will;
``n`` runs without a failure bound the rate: below ``1 - 0.05^(1/n)`` with 95 % confidence (some
``3/n``).  The exact bound (Clopper and Pearson) is printed, beside what the tests promise.

Each run is on disk when it is done (``flake_log.py``): the same command again goes on.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.console import Console

from grader.checks import load_checks
from grader.evidence.sequential import ALPHA
from grader.lab import LabDefinition, LabError, all_labs, find_lab
from grader.proof.bench import Bench, stress
from grader.proof.flake_log import FlakeLog, Run, digest_of
from grader.proof.variants import Variant, variants
from grader.report.terminal import make_console
from grader.run import ENGINES, Options, check_options, guarded, mesh_failures
from mesh.state import write_atomic
from services.lifeline import watch

FLAKE = Path("runs/prove/flake.json")
AGAIN = (sys.executable, "-m", "grader.proof.flake")
LOADS = ("quiet", "stress")
BOTH = "both"
"""In place of an engine: the runs are spread over labs and engines."""


@dataclass(frozen=True, slots=True)
class Share:
    """``runs`` right answers of one lab on one engine; ``digest`` says of which kit."""

    lab: LabDefinition
    engine: str
    runs: int
    digest: str

    def log(self, out: Path) -> FlakeLog:
        """What was tried of it before, beside ``out``."""
        name = f"lab-{self.lab.number:02d}-{self.engine}.jsonl"
        return FlakeLog(out.with_suffix("") / name, self.digest)


@dataclass(frozen=True, slots=True)
class Count:
    """Runs of right answers of one lab on one engine under one load.

    ``promised`` is the rate of false fails that the lab's tests allow themselves, by run.
    """

    lab: int
    engine: str
    load: str
    runs: int
    false_fails: int
    ungradable: int
    seconds: float
    promised: float


def count(lab: LabDefinition, engine: str, load: str, runs: Sequence[Run]) -> Count:
    """Add runs up; every check is taken for one random test, though most of them are exact."""
    promised = len(load_checks(lab.folder / "checks.py").checks) * ALPHA
    return Count(
        lab.number,
        engine,
        load,
        len(runs),
        sum(bool(each.failed) for each in runs),
        sum(bool(each.ungradable) for each in runs),
        round(sum(each.seconds for each in runs), 1),
        promised,
    )


def upper_bound(failures: int, runs: int, confidence: float = 0.95) -> float:
    """The exact one-sided upper bound of a rate of which ``failures`` in ``runs`` were seen."""
    if runs == 0 or failures >= runs:
        return 1.0
    if failures == 0:
        return float(1 - (1 - confidence) ** (1 / runs))
    from scipy.stats import beta

    return float(beta.ppf(confidence, failures + 1, runs - failures))


def shares_of(lab_number: int | None, runs: int, engine: str) -> list[Share]:
    """Spread ``runs`` over the labs, and over the engines for ``both``; LabError for none."""
    engines = ENGINES if engine == BOTH else (engine,)
    for each in engines:
        check_options(Options(each))
    labs = all_labs() if lab_number is None else (find_lab(lab_number),)
    pairs = [(lab, each) for each in engines for lab in labs if each in lab.engines]
    if not pairs:
        raise LabError(f"lab {lab_number} does not run on {engine}")
    return [
        Share(lab, each, share, digest_of(lab))
        for number, (lab, each) in enumerate(pairs)
        if (share := runs // len(pairs) + (number < runs % len(pairs)))
    ]


def prove_flake(
    lab_number: int | None,
    runs: int,
    engine: str,
    jobs: int = 1,
    out: Path = FLAKE,
    anew: bool = False,
) -> int:
    """``grade prove-flake``: returns 1 when a right answer lost anything.

    ``jobs`` labs at once, each in a process of its own: sooner done, and never quiet.  Runs of this
    very kit that are on disk count; ``anew`` forgets them.
    """
    console = make_console()

    def run() -> int:
        shares = shares_of(lab_number, runs, engine)
        logs = [each.log(out) for each in shares]
        for log in logs if anew else ():
            log.forget()
        if known := sum(len(log.runs) for log in logs):
            console.print(f"{known} runs of this kit are on disk already, and count.")
        if jobs == 1 or len(shares) == 1:
            for share, log in zip(shares, logs, strict=True):
                repeat(console, share, log)
        else:
            side_by_side(console, shares, jobs, out)
        counts = [
            count(share.lab, share.engine, load, each)
            for share in shares
            for log in (share.log(out),)
            for load in LOADS
            if (each := log.of(load))
        ]
        return summary(console, counts, out)

    return guarded(console, run)


def side_by_side(console: Console, shares: list[Share], jobs: int, out: Path) -> None:
    """Several labs at once, by this very command for each; LabError when one could not run."""
    children: list[subprocess.Popen[str]] = []

    def one(share: Share) -> None:
        words = [*AGAIN, str(share.lab.number), str(share.runs), share.engine]
        words += [share.digest, str(out)]
        said = ""
        with subprocess.Popen(
            words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as child:
            children.append(child)
            assert child.stdout is not None
            for line in child.stdout:
                said = line.strip() or said
                if line.startswith(("Lab ", " ✗")):
                    console.print(line.rstrip(), markup=False, soft_wrap=True)
            # Not by the end of this block: that closes the child's lifeline first.
            code = child.wait()
        if code:
            said = said or f"it ended with exit code {code}"
            raise LabError(f"Lab {share.lab.number} was not tried to its end: {said}")

    with ThreadPoolExecutor(jobs) as pool:
        try:
            for _ in pool.map(one, shares):
                pass
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            for child in children:
                child.terminate()
            raise


def repeat(console: Console, share: Share, log: FlakeLog) -> None:
    """Half of the runs quiet, half under stress; the right variants take turns."""
    lab, engine = share.lab, share.engine
    with tempfile.TemporaryDirectory(prefix="prove-") as folder:
        right = [each for each in variants(lab, Path(folder), generated=False) if each.right]
        for load, wanted in zip(
            LOADS, (share.runs - share.runs // 2, share.runs // 2), strict=True
        ):
            left = range(len(log.of(load)), wanted)
            if left:
                busy = stress() if load == "stress" else nullcontext()
                with mesh_failures(), busy, Bench(lab, engine, Path(folder)) as bench:
                    for number in left:
                        log.add(once(console, bench, lab, load, right[number % len(right)]))
            if log.of(load):
                told = count(lab, engine, load, log.of(load))
                console.print(
                    f"Lab {lab.number}, {engine}, {load}: {told.runs} runs, "
                    f"{told.false_fails} false fails (promised: {told.promised:.0e} a run), "
                    f"{told.ungradable} ungradable, {told.seconds / told.runs:.1f} s a run",
                    soft_wrap=True,
                )


def once(console: Console, bench: Bench, lab: LabDefinition, load: str, variant: Variant) -> Run:
    """Judge one right answer; what it lost is printed."""
    said = bench.judge(variant.files, anew=True)
    if said.failed or said.ungradable:
        names = ", ".join(sorted({*said.failed, *said.ungradable}))
        console.print(f" ✗ lab {lab.number}, {load}, {variant.name}: {names}", soft_wrap=True)
        for name, why in said.why.items():
            console.print(f" ✗   {name}: {why}", markup=False, soft_wrap=True)
    return Run(
        load,
        variant.name,
        sorted(said.failed),
        sorted(said.ungradable),
        round(said.seconds, 2),
        dict(said.why),
    )


def summary(console: Console, counts: list[Count], out: Path) -> int:
    """The observed rate, its bound, and the promised one."""
    runs = sum(each.runs for each in counts)
    failures = sum(each.false_fails for each in counts)
    expected = sum(each.runs * each.promised for each in counts)
    bound = upper_bound(failures, runs)
    console.print(
        f"\n{failures} false fails in {runs} runs of right answers, where the tests allow "
        f"themselves {expected:.4f}: below {bound:.2%} a run with 95 % confidence; promised are "
        f"{expected / runs:.0e} a run.\n{sum(each.ungradable for each in counts)} could not be "
        f"judged, which costs nobody a mark.\n{out}",
        soft_wrap=True,
    )
    data = {
        "when": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "runs": runs,
        "false_fails": failures,
        "upper_bound_95": bound,
        "promised_per_run": expected / runs,
        "counts": [asdict(each) for each in counts],
    }
    out.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(out, json.dumps(data, indent=2) + "\n")
    return int(failures > 0)


def main(number: str, runs: str, engine: str, digest: str, out: str) -> int:
    """One lab's share, for ``side_by_side``: its end shows in the exit code, its runs on disk."""
    watch(sys.stdin.fileno())
    console = make_console()
    share = Share(find_lab(int(number)), engine, int(runs), digest)

    def run() -> int:
        repeat(console, share, share.log(Path(out)))
        return 0

    return guarded(console, run)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
