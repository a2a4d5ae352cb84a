"""``meshctl import FILE...``: try a cluster's configuration here, on stand-in backends."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mesh.commands.common import done, print_problems
from mesh.commands.errors import REFUSED, UserError
from mesh.commands.offline import EraName, Namespace, era_and_topology, existing


def import_cluster(
    files: Annotated[
        list[Path],
        typer.Argument(
            metavar="FILE...", help="Files or folders; what `kubectl get -o yaml` prints."
        ),
    ],
    folder: Annotated[
        Path, typer.Option("--output", "-o", metavar="FOLDER", help="Where to write.")
    ] = Path("imported"),
    era: EraName = "",
    namespace: Namespace = "default",
) -> None:
    """Turn a cluster's Services, Deployments and Istio resources into a mesh of this machine.

    Writes topology.yaml, in which a stand-in answers for every container, and config.yaml.
    """
    from mesh.istio.load import load_paths
    from mesh.istio.problem import has_errors
    from mesh.istio.written import dump
    from mesh.kubernetes.importing import import_objects
    from mesh.testbed.load_topology import load_topology

    existing(files)
    release, _ = era_and_topology(era, None, None)
    loaded = load_paths(files, era=release, namespace=namespace)
    foreign = [each for each in loaded.problems if each.code == "KIT0004" and each.path == "kind"]
    problems = [each for each in loaded.problems if each not in foreign]
    print_problems(problems)
    for each in foreign:
        print(f" • {each.position}: {each.read or 'a document without a kind'} is left out")
    if has_errors(problems):
        raise typer.Exit(REFUSED)
    found = import_objects(loaded.resources)
    for note in found.notes:
        print(f" • {note}")
    if not found.topology["services"]:
        raise UserError(
            "no Service among these files: add what `kubectl get services,deployments -o yaml` prints"
        )
    load_topology(found.topology)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        text = dump({"topology": found.topology})
        (folder / "topology.yaml").write_text(text, encoding="utf-8")
        (folder / "config.yaml").write_text(found.config, encoding="utf-8")
    except OSError as error:
        raise UserError(f"cannot write {folder}: {error.strerror}") from None
    done(f"{len(found.topology['services'])} services in {folder / 'topology.yaml'}")
    done(f"{found.config.count('apiVersion:')} resources in {folder / 'config.yaml'}")
    print(f"\nTry: meshctl up --topology {folder / 'topology.yaml'}")
    print(f"     meshctl apply -f {folder / 'config.yaml'}")
