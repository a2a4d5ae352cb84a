"""``meshctl restart recommendation``: new pods in place of running ones, without a failed request.

In a real mesh ``kubectl rollout restart deployment recommendation``.  A new pod is ready before an old
one leaves the load balancing, which ends when its open requests are answered (``mesh.testbed.draining``).
``meshctl kill`` is the rude way: the pod dies with what it was doing.
"""

from __future__ import annotations

from typing import Annotated

import typer

from mesh.commands.common import Mesh, attach, done, note
from mesh.commands.errors import UserError

GRACE = 30.0


def restart(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A service, workload or pod.")],
    grace_period: Annotated[
        float,
        typer.Option(
            "--grace-period", metavar="SECONDS", help="What an old pod has to finish its requests."
        ),
    ] = GRACE,
    mesh: Mesh = "",
) -> None:
    """Replace pods one by one, each finishing its requests first (kubectl rollout restart)."""
    if grace_period < 0:
        raise UserError(f"--grace-period is {grace_period:g}: give 0 or more seconds")
    bed = attach(mesh, hold=True)
    try:
        new = bed.restart(name, grace=grace_period, told=note)
    finally:
        bed.leave()
    done(f"{name} runs in new pods: {', '.join(pod.name for pod in new)}")
