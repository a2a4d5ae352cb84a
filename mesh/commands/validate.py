"""``meshctl validate FILE``: everything that is wrong with YAML, before any mesh runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mesh.commands.common import Output, check_output, done, print_json
from mesh.commands.errors import REFUSED
from mesh.commands.offline import EraName, Lab, Namespace, era_and_topology, existing


def validate(
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="Files or folders.")],
    era: EraName = "",
    lab: Lab = None,
    namespace: Namespace = "tutorial",
    output: Output = "text",
) -> None:
    """Check Istio YAML by the rules of an era; exit code 1 when something would be refused, 2 for wrong use."""
    from mesh.istio import has_errors, load_paths
    from mesh.istio import validate as validated

    check_output(output)
    existing(files)
    release, _ = era_and_topology(era, lab, None)
    loaded = load_paths(files, era=release, namespace=namespace)
    problems = [*loaded.problems, *validated(loaded.resources, release)]
    if output == "json":
        print_json([each.as_dict() for each in problems])
    else:
        for each in problems:
            print(each)
    if has_errors(problems):
        raise typer.Exit(REFUSED)
    if output == "text":
        done(f"{len(loaded.resources)} resources are valid ({release.name})")
