"""``meshctl delete KIND NAME``: take configuration away; returns when that is in force."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mesh.commands.apply import expand, say
from mesh.commands.common import Mesh, attach
from mesh.commands.errors import UserError
from mesh.commands.get import kind_named, same_kind


def delete(
    kind: Annotated[str, typer.Argument(metavar="[KIND]", help="VirtualService, vs, ...")] = "",
    name: Annotated[str, typer.Argument(metavar="[NAME]")] = "",
    files: Annotated[
        list[Path] | None,
        typer.Option("--filename", "-f", metavar="FILE", help="Delete what this file describes."),
    ] = None,
    namespace: Annotated[str, typer.Option("--namespace", "-n", help="Of the resource.")] = "",
    mesh: Mesh = "",
) -> None:
    """Delete resources by kind and name, or those that files describe."""
    if bool(files) == bool(kind and name):
        raise UserError("give KIND and NAME, or -f FILE")
    bed = attach(mesh)
    applied = bed.pilot.resources()
    keys = [(each["kind"], each["namespace"], each["name"]) for each in applied]
    if files:
        wanted = [key for key in keys if key[0::2] in described(expand(files))]
    else:
        named = [key[0] for key in keys if key[2] == name and same_kind(kind, key[0])]
        real = named[0] if named else kind_named(kind, [key[0] for key in keys])
        wanted = [
            key for key in keys if key[0] == real and key[2] == name and namespace in ("", key[1])
        ]
    if not wanted:
        raise UserError("nothing of that is applied; see `meshctl get`")
    say(bed.delete(wanted))


def described(files: list[Path]) -> set[tuple[str, str]]:
    """Return (kind, name) of every document of files, whatever its era thinks of it."""
    import yaml

    from mesh.istio.kinds import qualified

    found: set[tuple[str, str]] = set()
    for file in files:
        try:
            documents = list(yaml.safe_load_all(file.read_text(encoding="utf-8")))
        except yaml.YAMLError as error:
            raise UserError(f"{file}: {str(error).splitlines()[0]}") from None
        for each in documents:
            if isinstance(each, dict) and isinstance(each.get("metadata"), dict):
                kind = qualified(str(each.get("apiVersion")), str(each.get("kind")))
                found.add((kind, str(each["metadata"].get("name"))))
    return found
