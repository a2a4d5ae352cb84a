"""``meshctl validate FILE``: everything that is wrong with YAML, before any mesh runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mesh.commands.common import Output, check_output, done, print_json
from mesh.commands.errors import REFUSED, UserError


def validate(
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="Files or folders.")],
    era: Annotated[str, typer.Option("--era", help="istio-1.0, istio-1.9, istio-current.")] = "",
    namespace: Annotated[str, typer.Option("--namespace", "-n")] = "tutorial",
    output: Output = "text",
) -> None:
    """Check Istio YAML by the rules of an era; exit code 1 when something would be refused."""
    from mesh.istio import ERAS, has_errors, load_paths
    from mesh.istio import era as era_named
    from mesh.istio import validate as validated

    check_output(output)
    chosen = era or "istio-current"
    if chosen not in ERAS and chosen != "istio-current":
        raise UserError(f"there is no era {chosen!r}: choose one of {', '.join(ERAS)}")
    release = era_named(chosen)
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
