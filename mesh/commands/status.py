"""``meshctl status``: which meshes run, and their pods."""

from __future__ import annotations

from typing import Any

from mesh.commands.common import Mesh, Output, attach, check_output, print_json, print_table
from mesh.commands.errors import UserError


def status(mesh: Mesh = "", output: Output = "text") -> None:
    """Show the running meshes and their pods."""
    from mesh.state import reap, runs

    check_output(output)
    reap()
    names = [run.name for run in runs()]
    if mesh and mesh not in names:
        raise UserError(f"no mesh is called {mesh!r}: there are {', '.join(names) or 'none'}")
    described = [describe(name) for name in names if not mesh or name == mesh]
    if output == "json":
        print_json(described)
        return
    if not described:
        print("no mesh is running: start one with `meshctl up`")
    for each in described:
        print(f"{each['mesh']}  engine {each['engine']}  era {each['era']}  {each['gateway']}")
        rows = [
            [pod["name"], pod["service"], pod["version"], pod["address"]] for pod in each["pods"]
        ]
        if each["metrics"]:
            print(f"metrics for Prometheus: {each['metrics']}")
        print_table(["POD", "SERVICE", "VERSION", "ADDRESS"], rows)


def describe(name: str) -> dict[str, Any]:
    """Return what there is to know about a mesh: mesh, engine, era, metrics, gateway, pods."""
    bed = attach(name)
    return {
        "mesh": name,
        "engine": bed.engine if isinstance(bed.engine, str) else bed.engine.name,
        "era": bed.era,
        "metrics": bed.metrics_url,
        "gateway": bed.gateway_url if bed.topology.gateway else "",
        "pods": [
            {
                "name": pod.name,
                "service": pod.service,
                "version": pod.labels.get("version", ""),
                "address": ", ".join(f"{pod.address}:{port}" for port in pod.ports.values()),
                "labels": pod.labels,
            }
            for pod in bed.pods()
        ],
    }
