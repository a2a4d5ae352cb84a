"""``meshctl explain REQUEST``: why a request went where it went, at every hop.

Against a running mesh it sends the request (a path at the gateway, or a URL with ``--from``), or
takes the ``x-request-id`` of one that was sent; with ``--dry-run`` it decides from files alone.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mesh.accesslog import new_request_id
from mesh.commands.common import Mesh, attach, check_output, print_json, print_problems
from mesh.commands.curl import parse_headers
from mesh.commands.errors import REFUSED, UserError
from mesh.commands.logs import full_name
from mesh.commands.offline import (
    EraName,
    Lab,
    Namespace,
    TopologyFile,
    era_and_topology,
    existing,
)

if TYPE_CHECKING:
    from mesh.istio.eras import Era
    from mesh.topology import Topology

ID = "x-request-id"


def explain(
    target: Annotated[
        str, typer.Argument(metavar="REQUEST", help="/path at the gateway, a URL, or an id.")
    ],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Against files, no mesh.")] = False,
    paths: Annotated[
        list[Path] | None,
        typer.Option("--filename", "-f", metavar="PATH", help="The YAML of a dry run."),
    ] = None,
    source: Annotated[str, typer.Option("--from", metavar="POD", help="Who asks.")] = "",
    method: Annotated[str, typer.Option("--request", "-X", metavar="METHOD")] = "GET",
    header: Annotated[
        list[str] | None, typer.Option("--header", "-H", metavar="'NAME: VALUE'")
    ] = None,
    mesh: Mesh = "",
    era: EraName = "",
    lab: Lab = None,
    topology: TopologyFile = None,
    namespace: Namespace = "tutorial",
    output: Annotated[str, typer.Option("--output", "-o", help="text or json.")] = "text",
) -> None:
    """Explain a request at each hop: route, draw, endpoint, attempts, ejections, faults, mirrors."""
    check_output(output)
    headers = parse_headers(header or [])
    if dry_run:
        existing(paths or [])
        release, services = era_and_topology(era, lab, topology)
        asked = (target, method.upper(), headers, source)
        _dry_run(asked, paths or [], release, services, namespace, output)
        return
    if paths:
        raise UserError("files are for --dry-run; apply them to the mesh with `meshctl apply -f`")
    found = _ask(target, source, method.upper(), headers, mesh)
    if output == "json":
        print_json(found)
        return
    from mesh.workbench.explain_text import lines_of_hops

    print("\n".join(lines_of_hops(found)))


def _ask(
    target: str, source: str, method: str, headers: dict[str, str], mesh: str
) -> dict[str, Any]:
    """Send the request unless ``target`` is an id; return the answer and the hops."""
    bed = attach(mesh)
    found: dict[str, Any] = {"request_id": target, "engine": bed.engine}
    if "/" in target:
        found["request_id"] = headers.setdefault(ID, new_request_id())
        pod = full_name([each.name for each in bed.pods()], source) if source else ""
        answer = bed.request(target, from_pod=pod, method=method, headers=headers)
        found |= {"status": answer.status, "body": answer.text}
    elif source or headers:
        raise UserError(f"{target!r} is an id of a sent request: --from and -H are for a new one")
    found["hops"] = list(bed.explain(found["request_id"]))
    if not found["hops"]:
        raise UserError(
            f"no sidecar knows a request {found['request_id']!r}: each remembers its newest "
            "requests, and the application has to pass x-request-id on"
        )
    return found


def _dry_run(
    asked: tuple[str, str, dict[str, str], str],
    paths: list[Path],
    release: Era,
    services: Topology | None,
    namespace: str,
    output: str,
) -> None:
    from mesh.commands import dry_run as dry
    from mesh.istio.load import load_paths, load_text
    from mesh.istio.problem import has_errors
    from mesh.testbed.load_topology import ingress_yaml, standard_topology
    from mesh.workbench.explain_text import lines_of_dry_run

    wanted = services or standard_topology()
    loaded = load_paths(paths, era=release, namespace=namespace)
    print_problems(loaded.problems)
    if has_errors(loaded.problems):
        raise typer.Exit(REFUSED)
    resources = list(loaded.resources)
    request = dry.Request(*asked)
    if request.url.startswith("/") and not any(each.kind == "Gateway" for each in resources):
        ingress = ingress_yaml(wanted).replace("istio.io/v1\n", "istio.io/v1alpha3\n")
        resources += load_text(ingress, "ingress.yaml", era=release).resources
    answer = dry.explain(request, resources, wanted, release)
    if output == "json":
        print_json(answer)
    else:
        print("\n".join(lines_of_dry_run(answer)))
