"""``meshctl explain --dry-run URL``: which route a request would take, and why not the others."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from mesh.commands.common import check_output, print_json, print_problems
from mesh.commands.curl import parse_headers
from mesh.commands.errors import REFUSED, UserError
from mesh.commands.offline import (
    EraName,
    Lab,
    Namespace,
    TopologyFile,
    era_and_topology,
    existing,
)


def explain(
    url: Annotated[str, typer.Argument(metavar="URL", help="/path at the gateway, or a URL.")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Against files, no mesh.")] = False,
    paths: Annotated[
        list[Path] | None, typer.Option("--filename", "-f", metavar="PATH", help="The YAML.")
    ] = None,
    source: Annotated[str, typer.Option("--from", metavar="POD", help="Who asks.")] = "",
    method: Annotated[str, typer.Option("--request", "-X", metavar="METHOD")] = "GET",
    header: Annotated[
        list[str] | None, typer.Option("--header", "-H", metavar="'NAME: VALUE'")
    ] = None,
    era: EraName = "",
    lab: Lab = 0,
    topology: TopologyFile = None,
    namespace: Namespace = "tutorial",
    output: Annotated[str, typer.Option("--output", "-o", help="text or json.")] = "text",
) -> None:
    """Explain a request without sending it: virtual host, routes in order, shares, pods."""
    from mesh.commands import dry_run as dry
    from mesh.istio.load import load_paths, load_text
    from mesh.istio.problem import has_errors
    from mesh.testbed.load_topology import ingress_yaml, standard_topology

    check_output(output)
    if not dry_run:
        raise UserError("add --dry-run and the files: explain --dry-run -f FILE URL")
    existing(paths or [])
    release, services = era_and_topology(era, lab, topology)
    wanted = services or standard_topology()
    loaded = load_paths(paths or [], era=release, namespace=namespace)
    print_problems(loaded.problems)
    if has_errors(loaded.problems):
        raise typer.Exit(REFUSED)
    resources = list(loaded.resources)
    if url.startswith("/") and not any(each.kind == "Gateway" for each in resources):
        ingress = ingress_yaml(wanted).replace("istio.io/v1\n", "istio.io/v1alpha3\n")
        resources += load_text(ingress, "ingress.yaml", era=release).resources
    request = dry.Request(url, method.upper(), parse_headers(header or []), source)
    answer = dry.explain(request, resources, wanted, release)
    if output == "json":
        print_json(answer)
    else:
        print("\n".join(lines_of(answer)))


def lines_of(answer: dict[str, Any]) -> list[str]:
    """Return the text form of an explanation."""
    lines = [f"{answer['request']}   (decided by the sidecar of {answer['proxy']})"]
    lines.append(f"Virtual host: {answer['virtual_host'] or 'none'}")
    for each in answer["tried"]:
        sign = "✓" if each["matches"] else "✗"
        origin = f"   [{each['from']}]" if each["from"] else ""
        lines.append(f"  {sign} route {each['route']}: {each['match']}{origin}")
    return lines + [f"  {each}" for each in answer["outcome"]]
