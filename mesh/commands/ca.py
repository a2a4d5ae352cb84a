"""``meshctl ca status|rotate|finish|renew``: the certificate authority of a mesh."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from mesh.commands.common import Mesh, Output, attach, check_output, done, print_json, print_table
from mesh.commands.errors import UserError

ACTIONS = ("status", "rotate", "finish", "renew")


def certificate_authority(
    action: Annotated[str, typer.Argument(metavar="|".join(ACTIONS), help="What to do.")],
    mesh: Mesh = "",
    output: Output = "text",
) -> None:
    """Show the certificate authority, or replace its root.

    rotate: trust a new root beside the old one, then sign by it.  finish: trust the new one only.
    renew: a new certificate for every sidecar.
    """
    check_output(output)
    if action not in ACTIONS:
        raise UserError(f"there is no action {action!r}: choose {', '.join(ACTIONS)}")
    bed = attach(mesh)
    state = bed.pilot.citadel("" if action == "status" else action)
    if output == "json":
        print_json(state)
        return
    if action != "status":
        done(_SAID[action].format(agents=len(state["agents"]), issuer=state["issuer"]))
    print_table(*_table(state))


_SAID = {
    "rotate": "{agents} sidecars have certificates below {issuer} and trust old and new roots",
    "finish": "{agents} sidecars trust {issuer} only",
    "renew": "{agents} sidecars have new certificates",
}


def _table(state: dict[str, Any]) -> tuple[list[str], list[list[str]]]:
    rows = [
        [
            root["name"],
            "issues" if root["name"] == state["issuer"] else "trusted",
            root["serial"],
            root["not_after"],
        ]
        for root in state["roots"]
    ]
    return ["ROOT", "STATUS", "SERIAL NUMBER", "NOT AFTER"], rows
