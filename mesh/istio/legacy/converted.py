"""What a conversion gives: a resource of today, and how each old word became a new one."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from mesh.istio.eras import Era
from mesh.istio.written import dump


@dataclass(frozen=True, slots=True)
class Converted:
    """``format`` names what was read; ``text`` is YAML of the era; ``notes`` the mapping."""

    format: str
    text: str
    notes: tuple[str, ...]


def destination_rule(host: str, spec: dict[str, Any], era: Era) -> str:
    """Write a DestinationRule for a host; its name is the first part of the host."""
    name = re.sub(r"([a-z0-9])([A-Z])", r"\1-\2", host.split(".")[0]).lower()
    name = re.sub(r"[^a-z0-9-]+", "", name).strip("-") or "legacy"
    document = {
        "apiVersion": f"networking.istio.io/{era.preferred_networking_version}",
        "kind": "DestinationRule",
        "metadata": {"name": name},
        "spec": spec,
    }
    return dump(document)
