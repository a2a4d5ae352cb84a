"""``meshctl schemas FOLDER``: JSON schemas of all kinds, for completion in an editor.

One file a kind and group, ``virtualservice.networking.istio.io.json``, and ``all.json`` for files
with several kinds.  Editors with yaml-language-server take it from a first line
``# yaml-language-server: $schema=DIR/all.json``.  JSON Schema 2020-12.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from mesh.istio.kinds import KINDS, Kind
from mesh.istio.metadata import ObjectMeta

DIALECT = "https://json-schema.org/draft/2020-12/schema"


def schema_of(kind: Kind) -> dict[str, Any]:
    """Return the schema of whole objects of a kind: apiVersion, kind, metadata, spec."""
    model = kind.model.model_json_schema(by_alias=True)
    metadata = ObjectMeta.model_json_schema(by_alias=True)
    definitions = {**metadata.pop("$defs", {}), **model.pop("$defs", {})}
    versions = [f"{kind.group}/{version}" if kind.group else version for version in kind.versions]
    properties: dict[str, Any] = {
        "apiVersion": {"enum": versions},
        "kind": {"const": kind.name},
        "metadata": metadata,
    }
    if kind.whole:
        properties |= model.get("properties", {})
    else:
        properties |= {"spec": model, "status": {}}
    return {
        "$schema": DIALECT,
        "title": kind.name,
        "description": (sys.modules[kind.model.__module__].__doc__ or "").strip(),
        "type": "object",
        "required": ["apiVersion", "kind", "metadata"],
        "properties": properties,
        "additionalProperties": False,
        "$defs": definitions,
    }


def write_schemas(folder: Path) -> list[Path]:
    """Write all schemas below a folder, which is made when missing; return the files."""
    folder.mkdir(parents=True, exist_ok=True)
    files: list[Path] = []
    for kind in KINDS:
        name = f"{kind.name.lower()}.{kind.group or 'core'}.json"
        files.append(_write(folder / name, schema_of(kind)))
    choice = {
        "$schema": DIALECT,
        "title": "Istio and Kubernetes",
        "oneOf": [{"$ref": file.name} for file in files],
    }
    files.append(_write(folder / "all.json", choice))
    return files


def _write(file: Path, schema: dict[str, Any]) -> Path:
    file.write_text(json.dumps(schema, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return file
