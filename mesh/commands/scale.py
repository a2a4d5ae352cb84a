"""``meshctl scale``: how many pods a workload has, as ``kubectl scale deployment`` does it.

With 0 its subset is empty: a route that names the subset then answers 503 (flag UH), one that asks the
Service goes on with the other pods.  What was removed is gone as ``kill -9`` would leave it; in a real mesh
a pod that is scaled away is told first, and finishes what it has.
"""

from __future__ import annotations

from typing import Annotated

import typer

from mesh.commands.common import Mesh, attach, done


def scale(
    workload: Annotated[str, typer.Argument(metavar="WORKLOAD", help="Such as recommendation-v1.")],
    replicas: Annotated[int, typer.Argument(metavar="PODS", help="0 to 10.")],
    mesh: Mesh = "",
) -> None:
    """Let a workload have so many pods, 0 included."""
    bed = attach(mesh, hold=True)
    try:
        added, removed = bed.scale(workload, replicas)
    finally:
        bed.leave()
    for name in removed:
        done(f"{name} is gone")
    for name in added:
        done(f"{name} came, and every sidecar knows it")
    if not added and not removed:
        done(f"{workload} has {replicas} pods already")
