"""Faults at the press of a button: the VirtualService that makes them, and the way back.

A fault is written into the routes that a service has; a service without a VirtualService gets one
of the console's.  What is applied is ordinary Istio YAML, to be seen under Configuration.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mesh.istio.written import dump, read_all

NAME = "console-fault"
FAULTS: dict[str, dict[str, Any]] = {
    "delay": {"delay": {"fixedDelay": "7s", "percentage": {"value": 50}}},
    "abort": {"abort": {"httpStatus": 503, "percentage": {"value": 50}}},
}
TITLES = {"delay": "7 s delay on 50 %", "abort": "503 on 50 %"}


@dataclass(frozen=True, slots=True)
class Change:
    """A text to apply for a fault, and what undoes it: a text, or the resource to delete."""

    text: str
    undo_text: str = ""
    undo_delete: tuple[str, str, str] | None = None


def with_fault(
    applied: Sequence[Mapping[str, Any]], service: str, namespace: str, fault: str, api: str
) -> Change:
    """Return the change that puts a fault on all requests to a service of the mesh.

    ``applied`` are rows of ``pilot.resources()``, ``api`` is the era's version of networking.
    """
    for row in applied:
        if row["kind"] != "VirtualService" or row["name"] == NAME:
            continue
        for document in read_all(str(row["text"])):
            if _routes(document, row, service, namespace):
                changed = copy.deepcopy(document)
                for route in changed["spec"]["http"]:
                    if "route" in route:
                        route["fault"] = FAULTS[fault]
                before = dump(document)
                return Change(dump(changed), before)
    spec = {
        "hosts": [service],
        "http": [{"fault": FAULTS[fault], "route": [{"destination": {"host": service}}]}],
    }
    text = dump(
        {
            "apiVersion": f"networking.istio.io/{api}",
            "kind": "VirtualService",
            "metadata": {"name": f"{NAME}-{service}", "namespace": namespace},
            "spec": spec,
        }
    )
    return Change(text, "", ("VirtualService", namespace, f"{NAME}-{service}"))


def _routes(document: Any, row: Mapping[str, Any], service: str, namespace: str) -> bool:
    """True for the VirtualService by which the sidecars reach a service."""
    if not isinstance(document, dict) or document.get("kind") != "VirtualService":
        return False
    meta, spec = document.get("metadata") or {}, document.get("spec") or {}
    own = meta.get("namespace") or row["namespace"]
    names = {service, f"{service}.{namespace}.svc.cluster.local", f"{service}.{namespace}"}
    if own != namespace:
        names.discard(service)
    in_mesh = "mesh" in (spec.get("gateways") or ["mesh"])
    return (
        meta.get("name") == row["name"]
        and in_mesh
        and bool(names & set(spec.get("hosts") or ()))
        and any("route" in each for each in spec.get("http") or ())
    )
