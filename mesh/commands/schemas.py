"""``meshctl schemas FOLDER``: write the JSON schemas that let an editor complete and check YAML."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mesh.commands.common import done
from mesh.commands.errors import UserError


def schemas(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Made when it is missing.")],
) -> None:
    """Write a JSON schema of every kind, for completion in an editor (docs/editor.md)."""
    from mesh.istio.schemas import write_schemas

    try:
        files = write_schemas(folder)
    except OSError as error:
        raise UserError(f"cannot write schemas to {folder}: {error.strerror}") from None
    done(f"{len(files)} schemas in {folder}")
