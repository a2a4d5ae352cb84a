"""``meshctl conform``: run conformance cases on both engines and compare them."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mesh.commands.common import Output, check_output, print_json
from mesh.commands.errors import REFUSED, UserError

if TYPE_CHECKING:
    from mesh.conformance.case import Case
    from mesh.conformance.run import CaseResult

BOTH = ("mitmproxy", "envoy")
CASES = Path(__file__).resolve().parents[2] / "tests" / "conformance" / "cases"
RANDOM = Path("runs") / "conformance" / "random"


def conform(
    cases: Annotated[
        list[Path] | None, typer.Argument(metavar="CASE...", help="Case files or folders.")
    ] = None,
    engine: Annotated[str, typer.Option("--engine", help="mitmproxy, envoy or both.")] = "both",
    write: Annotated[
        Path | None, typer.Option("--write", metavar="FILE", help="Write the results as JSON.")
    ] = None,
    differences: Annotated[
        bool, typer.Option("--differences", help="List declared differences, run nothing.")
    ] = False,
    random: Annotated[
        int, typer.Option("--random", metavar="N", min=0, help="Run N random cases instead.")
    ] = 0,
    seed: Annotated[int, typer.Option("--seed", help="The same seed, the same random cases.")] = 0,
    output: Output = "text",
) -> None:
    """Run behaviour cases on the engines; exit code 1 when one fails or the engines differ."""
    from mesh.conformance.case import read_cases
    from mesh.conformance.declared import differences_page
    from mesh.conformance.random_case import random_cases
    from mesh.conformance.run import run_cases
    from mesh.testbed.local import LocalTestbed

    check_output(output)
    if engine not in (*BOTH, "both"):
        raise UserError(f"there is no engine {engine!r}: choose mitmproxy, envoy or both")
    if random:
        chosen = [(Path(f"{each.name}.yaml"), each) for each in random_cases(random, seed)]
    else:
        chosen = read_cases(cases or [CASES])
    if differences:
        print(differences_page(chosen, CASES), end="")
        return
    results = run_cases(
        chosen,
        BOTH if engine == "both" else (engine,),
        LocalTestbed,
        progress=lambda text: print(f" • {text}", file=sys.stderr, flush=True),
    )
    failed = sum(not each.passed for each in results)
    if random:
        keep([each.case for each in results if not each.passed])
    data = as_json(results)
    if write is not None:
        write.parent.mkdir(parents=True, exist_ok=True)
        write.write_text(json.dumps(data, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    if output == "json":
        print_json(data)
    else:
        show(results)
    raise typer.Exit(REFUSED if failed else 0)


def keep(cases: Sequence[Case]) -> None:
    """Write random cases that showed a difference to RANDOM, so that they can be run again."""
    from mesh.conformance.random_case import as_file

    for case in cases:
        RANDOM.mkdir(parents=True, exist_ok=True)
        file = RANDOM / f"{case.name.replace(' ', '-')}.yaml"
        file.write_text(as_file(case), encoding="utf-8")
        print(f" • written: {file}", file=sys.stderr)


def as_json(results: Sequence[CaseResult]) -> dict[str, Any]:
    """Return all results as data: passed, failed, cases."""
    passed = sum(each.passed for each in results)
    return {
        "passed": passed,
        "failed": len(results) - passed,
        "cases": [each.as_dict() for each in results],
    }


def show(results: Sequence[CaseResult]) -> None:
    """Print a line for each case, what is wrong below it, and the count as the last line."""
    for each in results:
        times = ", ".join(f"{name} {run.seconds:.1f} s" for name, run in each.engines.items())
        print(f" {'✓ passed' if each.passed else '✗ failed'}  {each.case.name}  ({times})")
        for name, run in each.engines.items():
            for text in run.failures:
                print(f"     {name}: {text}")
        for text in each.differences:
            print(f"     engines differ: {text}")
    passed = sum(each.passed for each in results)
    print(f"{passed} passed, {len(results) - passed} failed")
