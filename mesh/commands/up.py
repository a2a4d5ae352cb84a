"""``meshctl up``: start a mesh that stays until ``meshctl down``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from mesh.commands.common import done
from mesh.commands.errors import UserError


def up(
    lab: Annotated[
        int | None, typer.Option("--lab", metavar="N", help="The mesh of lab N.")
    ] = None,
    topology: Annotated[
        Path | None, typer.Option("--topology", metavar="FILE", help="The mesh of a YAML file.")
    ] = None,
    engine: Annotated[str, typer.Option("--engine", help="mitmproxy or envoy.")] = "mitmproxy",
    runtime: Annotated[str, typer.Option("--runtime", help="local or compose.")] = "local",
    era: Annotated[str, typer.Option("--era", help="istio-1.0, istio-1.9, istio-current.")] = "",
    profile: Annotated[
        list[str] | None,
        typer.Option("--profile", help="In containers, beside the mesh: observability, locust."),
    ] = None,
) -> None:
    """Start a mesh: by default customer, preference, recommendation v1 and v2, and a gateway."""
    from mesh.istio.eras import ERAS
    from mesh.testbed.choose import RUNTIMES, testbed_for
    from mesh.testbed.load_topology import load_topology, standard_topology

    if lab is not None and topology:
        raise UserError("give --lab or --topology, not both")
    wanted, lab_era = standard_topology(), ""
    if lab is not None:
        definition = lab_definition(lab)
        wanted = load_topology(definition.get("topology"))
        lab_era = str(definition.get("era", ""))
    elif topology:
        raw = read_mapping(topology)
        wanted = load_topology(raw.get("topology", raw))
    chosen = era or lab_era or "istio-current"
    if chosen not in ERAS and chosen != "istio-current":
        raise UserError(f"there is no era {chosen!r}: choose one of {', '.join(ERAS)}")

    if runtime not in RUNTIMES:
        raise UserError(f"there is no runtime {runtime!r}: choose {' or '.join(RUNTIMES)}")
    if profile and runtime != "compose":
        raise UserError("profiles are containers: use --runtime compose with --profile")
    options = {"profiles": profile} if profile else {}
    bed = testbed_for(runtime, wanted, engine=engine, era=chosen, **options)
    bed.start()
    try:
        bed.keep()
    except BaseException:
        bed.stop()
        raise
    pods = len(bed.pods())
    done(f"Started {pods} pods with their sidecars ({engine}, {chosen})")
    if wanted.gateway:
        done(f"The gateway listens on {bed.gateway_url}")
    for name, url in bed.pages().items():
        done(f"{name.capitalize()}: {url}")
    bed.leave()
    print("\nTry: meshctl curl /\n     meshctl apply -f FILE\n     meshctl down")


def lab_definition(number: int, labs: Path | None = None) -> dict[str, Any]:
    """Return ``labs/NN-name/lab.yaml``; UserError when there is no such lab."""
    return read_mapping(lab_folder(number, labs) / "lab.yaml")


def lab_folder(number: int, labs: Path | None = None) -> Path:
    """Return ``labs/NN-name``; UserError when there is no such lab."""
    folder = labs or Path(__file__).resolve().parents[2] / "labs"
    found = {int(path.parent.name[:2]): path for path in folder.glob("[0-9][0-9]-*/lab.yaml")}
    if number not in found:
        there = ", ".join(str(each) for each in sorted(found)) or "none"
        raise UserError(f"there is no lab {number}; there are: {there}")
    return found[number].parent


def read_mapping(path: Path) -> dict[str, Any]:
    """Read a small YAML file of the kit's own kind; UserError says where it is wrong."""
    import yaml

    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f"{path}:{mark.line + 1}:{mark.column + 1}" if mark else str(path)
        raise UserError(f"{place}: {getattr(error, 'problem', None) or error}") from None
    except UnicodeDecodeError:
        raise UserError(f"{path}: not a text file in UTF-8") from None
    if not isinstance(data, dict):
        raise UserError(f"{path}: a mapping is needed, for instance `services:`")
    return data
