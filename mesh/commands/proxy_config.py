"""``meshctl proxy-config routes POD``: the xDS that a sidecar works by, as istioctl shows it."""

from __future__ import annotations

from typing import Annotated

import typer

from mesh.commands.common import (
    Mesh,
    Output,
    Pod,
    attach,
    check_output,
    find_proxy,
    print_json,
    print_table,
)
from mesh.commands.errors import UserError

VIEWS = {"clusters": "CDS", "endpoints": "EDS", "listeners": "LDS", "routes": "RDS", "secrets": ""}


def proxy_config(
    view: Annotated[str, typer.Argument(metavar="|".join(VIEWS), help="What to show.")],
    pod: Pod,
    mesh: Mesh = "",
    output: Output = "text",
) -> None:
    """Show the configuration of a pod's sidecar; -o json shows the xDS resources whole."""
    check_output(output)
    chosen = full_view(view)
    bed = attach(mesh)
    node = find_proxy(bed, pod)
    if chosen == "secrets":
        from mesh.commands import secrets

        found = secrets.certificates(bed.find(node.partition(".")[0]).folder, node)
        if output == "json":
            print_json(secrets.as_data(found))
        else:
            print_table(secrets.COLUMNS, secrets.rows(found, secrets.now()))
        return
    if output == "json":
        print_json(bed.pilot.snapshot(node).get(VIEWS[chosen], {}))
        return
    if chosen == "endpoints":
        from mesh.commands import endpoints

        live = bed.clusters(node.partition(".")[0])
        print_table(endpoints.COLUMNS, endpoints.rows(live))
        return
    columns, rows = bed.pilot.proxy_config(node, chosen)
    print_table(columns, rows)


def full_view(word: str) -> str:
    """Return ``routes`` for ``route``, ``routes`` or ``r``; UserError for anything else."""
    found = [view for view in VIEWS if word and view.startswith(word.lower())]
    if len(found) != 1:
        raise UserError(f"there is no view {word!r}: choose {', '.join(VIEWS)}")
    return found[0]
