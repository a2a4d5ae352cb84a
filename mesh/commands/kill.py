"""``meshctl kill`` and ``meshctl start-pilot``: what goes on when something of the mesh dies.

A pod is replaced by a new one with another name and address, as a Deployment does it; the Service's
name stays.  ``pilot`` is the control plane (istiod in a real mesh): without it the sidecars go on
with the configuration they have, only nothing changes any more, until ``start-pilot``.
"""

from __future__ import annotations

from typing import Annotated

import typer

from mesh.commands.common import Mesh, attach, done

PILOT = "pilot"


def kill(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A pod, or pilot.")], mesh: Mesh = ""
) -> None:
    """Kill a pod, which is replaced, or the control plane (pilot), as kill -9 would."""
    bed = attach(mesh, hold=True)
    try:
        if name == PILOT:
            bed.kill_pilot()
            done("The control plane is dead, the sidecars go on: `meshctl start-pilot` starts it")
            return
        old = bed.find(name).name
        new = bed.kill_pod(old)
        done(f"{old} was killed, {new.name} took its place")
    finally:
        bed.leave()


def start_pilot(mesh: Mesh = "") -> None:
    """Start a killed control plane again, with everything that was applied before."""
    bed = attach(mesh, hold=True)
    try:
        bed.start_pilot()
    finally:
        bed.leave()
    done("The control plane is back, and every sidecar has its configuration")
