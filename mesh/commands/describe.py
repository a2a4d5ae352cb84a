"""``meshctl describe pod|service NAME``: what applies to it, and from which file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mesh.commands.common import Mesh, attach
from mesh.commands.errors import UserError
from mesh.commands.offline import (
    EraName,
    Lab,
    Namespace,
    TopologyFile,
    era_and_topology,
    existing,
)

if TYPE_CHECKING:
    from mesh.istio.analyze import Context


def describe(
    what: Annotated[str, typer.Argument(metavar="pod|service")],
    name: Annotated[str, typer.Argument(metavar="NAME")],
    paths: Annotated[
        list[Path] | None,
        typer.Option("--filename", "-f", metavar="PATH", help="Files instead of a running mesh."),
    ] = None,
    era: EraName = "",
    lab: Lab = None,
    topology: TopologyFile = None,
    namespace: Namespace = "tutorial",
    mesh: Mesh = "",
) -> None:
    """Show routes, subsets and policies that apply to a pod or service."""
    from mesh.istio.describe import UnknownNameError, describe_pod, describe_service

    kinds = {"pod": describe_pod, "po": describe_pod}
    kinds |= {"service": describe_service, "svc": describe_service}
    if what not in kinds:
        raise typer.BadParameter(f"there is no {what!r} to describe: choose pod or service")
    if paths or lab is not None or topology:
        context = _from_files(paths or [], era, lab, topology, namespace)
    else:
        context = _from_mesh(mesh)
    try:
        lines = kinds[what](context, name, namespace)
    except UnknownNameError as error:
        raise UserError(str(error)) from None
    print("\n".join(lines))


def _from_files(
    paths: list[Path], era: str, lab: int | None, topology: Path | None, namespace: str
) -> Context:
    from mesh.commands.common import print_problems
    from mesh.istio.analyze import Context
    from mesh.istio.load import load_paths

    existing(paths)
    release, services = era_and_topology(era, lab, topology)
    loaded = load_paths(paths, era=release, namespace=namespace)
    print_problems(loaded.problems)
    return Context(loaded.resources, release, services)


def _from_mesh(mesh: str) -> Context:
    from mesh.istio.analyze import Context
    from mesh.istio.eras import era as era_named
    from mesh.istio.load import load_text

    bed = attach(mesh)
    release = era_named(bed.era)
    resources = []
    for each in bed.pilot.resources():
        text, file = str(each["text"]), str(each["file"])
        found = load_text(text, file, era=release, namespace=str(each["namespace"])).resources
        same = [
            one for one in found if (one.qualified_kind, one.name) == (each["kind"], each["name"])
        ]
        resources += same or found
    return Context(resources, release, bed.topology)
