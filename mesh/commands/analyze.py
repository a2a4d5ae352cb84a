"""``meshctl analyze PATH...``: what is wrong with YAML, and what will not do what it seems to.

Exit code 0: clean (warnings count as clean), 1: errors found, 2: wrong use.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mesh.commands.common import check_output, done, print_json
from mesh.commands.errors import REFUSED
from mesh.commands.offline import (
    EraName,
    Lab,
    Namespace,
    TopologyFile,
    era_and_topology,
    existing,
)


def analyze(
    paths: Annotated[list[Path], typer.Argument(metavar="PATH...", help="Files or folders.")],
    era: EraName = "",
    lab: Lab = None,
    topology: TopologyFile = None,
    namespace: Namespace = "tutorial",
    output: Annotated[str, typer.Option("--output", "-o", help="table or json.")] = "table",
) -> None:
    """Explain every mistake in Istio YAML: place, what was read, what to do, how fix mends it."""
    from mesh.istio.analyze.files import check_paths
    from mesh.istio.problem import has_errors

    check_output(output, ("table", "text", "json"))
    existing(paths)
    release, services = era_and_topology(era, lab, topology)
    loaded = check_paths(paths, era=release, namespace=namespace, services=services)
    if output == "json":
        print_json([each.as_dict() for each in loaded.problems])
    else:
        for each in loaded.problems:
            print(each)
            if each.fix and each.fix != each.hint:
                print(f"    fix: {each.fix}")
        count = len(loaded.resources)
        if not loaded.problems:
            done(f"No problems in {count} resource{'' if count == 1 else 's'} ({release})")
        elif any(each.fix for each in loaded.problems):
            print("\nmeshctl fix FILE shows the repairs, meshctl fix --write FILE makes them.")
    if has_errors(loaded.problems):
        raise typer.Exit(REFUSED)
