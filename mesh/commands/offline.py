"""What the commands without a mesh share: which era, which topology, which files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from mesh.istio.eras import Era
    from mesh.topology import Topology

EraName = Annotated[str, typer.Option("--era", help="istio-1.0, istio-1.9, istio-current.")]
Lab = Annotated[int | None, typer.Option("--lab", metavar="N", help="Era and services of lab N.")]
TopologyFile = Annotated[
    Path | None, typer.Option("--topology", metavar="FILE", help="The services of a YAML file.")
]
Namespace = Annotated[str, typer.Option("--namespace", "-n", help="Of objects that name none.")]


def era_and_topology(
    era: str, lab: int | None, topology: Path | None
) -> tuple[Era, Topology | None]:
    """Return what the options mean; a wrong one is a wrong use (exit code 2)."""
    from mesh.commands.up import lab_definition, read_mapping
    from mesh.istio.eras import era as era_named
    from mesh.testbed.load_topology import load_topology

    services = None
    if lab is not None:
        definition = lab_definition(lab)
        era = era or str(definition.get("era", ""))
        services = load_topology(definition.get("topology"))
    if topology is not None:
        raw = read_mapping(topology)
        services = load_topology(raw.get("topology", raw))
    try:
        return era_named(era or "istio-current"), services
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None


def existing(paths: Sequence[Path]) -> None:
    """Refuse a path that is not there: wrong use, exit code 2."""
    for path in paths:
        if not path.exists():
            raise typer.BadParameter(f"there is no file or folder {str(path)!r}")
