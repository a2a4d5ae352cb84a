"""``meshctl get [KIND [NAME]]``: the configuration that is applied."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from mesh.commands.common import Mesh, Output, attach, check_output, print_json, print_table
from mesh.commands.errors import UserError


def get(
    kind: Annotated[str, typer.Argument(metavar="[KIND]", help="VirtualService, vs, ...")] = "",
    name: Annotated[str, typer.Argument(metavar="[NAME]", help="Only this one.")] = "",
    mesh: Mesh = "",
    output: Output = "text",
) -> None:
    """Show applied resources; -o yaml shows their text."""
    check_output(output, ("text", "json", "yaml"))
    found = [
        each
        for each in attach(mesh).pilot.resources()
        if (not kind or same_kind(kind, each["kind"])) and (not name or each["name"] == name)
    ]
    if name and not found:
        raise UserError(f"no {kind} is called {name!r}")
    if output == "json":
        print_json(found)
    elif output == "yaml":
        print("---\n".join(str(each["text"]).rstrip("\n") + "\n" for each in found), end="")
    else:
        print_table(["KIND", "NAMESPACE", "NAME", "FROM"], [_row(each) for each in found])


def _row(each: dict[str, Any]) -> list[str]:
    return [each["kind"], each["namespace"], each["name"], f"{each['file']}:{each['line']}"]


_SHORT = {
    "vs": "VirtualService",
    "dr": "DestinationRule",
    "gw": "Gateway",
    "se": "ServiceEntry",
    "pa": "PeerAuthentication",
    "ap": "AuthorizationPolicy",
    "ra": "RequestAuthentication",
}


def same_kind(word: str, kind: str) -> bool:
    """Tell whether a word of the command line (``vs``, ``virtualservices``) means a kind."""
    word, low = word.lower(), kind.lower()
    if "." not in word:
        kind, low = kind.partition(".")[0], low.partition(".")[0]
    return word in (low, low + "s", low.removesuffix("y") + "ies") or _SHORT.get(word) == kind


def kind_named(word: str, kinds: list[str]) -> str:
    """Return the kind that a word means; UserError when none of those applied is meant."""
    found = [kind for kind in kinds if same_kind(word, kind)]
    if not found:
        there = ", ".join(sorted(set(kinds))) or "nothing"
        raise UserError(f"nothing of kind {word!r} is applied; there is {there}")
    return found[0]
