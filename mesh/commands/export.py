"""``meshctl export kubernetes --lab N``: a lab as manifests for a cluster with the real Istio."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mesh.commands.common import done, print_problems
from mesh.commands.errors import REFUSED, UserError
from mesh.commands.offline import (
    EraName,
    Lab,
    Namespace,
    TopologyFile,
    era_and_topology,
    existing,
)

ANSWERS = "answers.yaml"
"""What a student predicts; no configuration."""


def export(
    what: Annotated[str, typer.Argument(metavar="kubernetes")],
    lab: Lab = None,
    paths: Annotated[
        list[Path] | None,
        typer.Option("--filename", "-f", metavar="PATH", help="Your files; by default the lab's."),
    ] = None,
    folder: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FOLDER", help="Where to write.")
    ] = None,
    solution: Annotated[bool, typer.Option("--solution", help="The kit's own answer.")] = False,
    era: EraName = "",
    topology: TopologyFile = None,
    namespace: Namespace = "tutorial",
) -> None:
    """Write a lab's services and Istio resources for kubectl, in the words of today's Istio."""
    from mesh.commands.up import lab_definition, lab_folder
    from mesh.istio.legacy import convert_text
    from mesh.istio.load import load_text
    from mesh.istio.problem import has_errors
    from mesh.istio.validate import validate
    from mesh.kubernetes import VERSION
    from mesh.kubernetes.export import manifests
    from mesh.testbed.documents import documents
    from mesh.testbed.load_topology import ingress_yaml, standard_topology

    if what != "kubernetes":
        raise typer.BadParameter(f"there is no export to {what!r}: write `export kubernetes`")
    release, services = era_and_topology(era, lab, topology)
    wanted = services or standard_topology()
    chosen = list(paths or [])
    if lab is not None and not chosen:
        home, own = lab_folder(lab), Path("work") / f"lab-{lab:02}"
        place = home / "solution" if solution else own if own.is_dir() else home / "start"
        if place.is_relative_to(Path.cwd()):
            place = place.relative_to(Path.cwd())
        named = [place / str(each) for each in lab_definition(lab).get("files", ())]
        chosen = [
            each
            for each in named
            if each.is_file() and each.suffix != ".py" and each.name != ANSWERS
        ]
    existing(chosen)
    resources = list(load_text(ingress_yaml(wanted), "ingress.yaml", era=release).resources)
    problems = []
    for file, text in documents(chosen):
        modern, remarks = convert_text(text, file, era=release)
        loaded = load_text(modern, file, era=release, namespace=namespace)
        problems += [*remarks, *loaded.problems, *validate(loaded.resources, release)]
        resources += loaded.resources
    print_problems(problems)
    if has_errors(problems):
        raise typer.Exit(REFUSED)
    locustfile = lab_folder(lab) / "locustfile.py" if lab is not None else None
    found = manifests(
        wanted,
        resources,
        release,
        title="This mesh" if lab is None else f"Lab {lab}",
        tag=VERSION,
        locustfile=locustfile.read_text(encoding="utf-8")
        if locustfile and locustfile.is_file()
        else "",
    )
    if found.problems:
        print_problems(found.problems)
        raise typer.Exit(REFUSED)
    target = folder or Path(f"lab-{lab:02}-kubernetes" if lab is not None else "kubernetes")
    try:
        found.write(target)
    except OSError as error:
        raise UserError(f"cannot write {target}: {error.strerror}") from None
    for each in found.notes:
        print(f" • {each}")
    done(f"{len(found.files)} files in {target}; {target / 'README.md'} says how to run them")
