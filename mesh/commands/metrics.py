"""``meshctl metrics [POD]``: Istio's metrics in Prometheus' format, and a Prometheus for them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mesh.commands.common import Mesh, attach, done
from mesh.commands.logs import full_name


def metrics(
    pod: Annotated[
        str, typer.Argument(metavar="[POD]", help="One pod: with its sidecar's own counters.")
    ] = "",
    prometheus: Annotated[
        Path | None,
        typer.Option("--prometheus", metavar="FILE", help="Write a configuration of Prometheus."),
    ] = None,
    mesh: Mesh = "",
) -> None:
    """Print what the sidecars count; complete up to the requests answered so far."""
    bed = attach(mesh)
    if prometheus is not None:
        from mesh.mixer.prometheus import config

        prometheus.write_text(config(bed.metrics_url), encoding="utf-8")
        done(f"Wrote {prometheus}: start it with prometheus --config.file={prometheus}")
        return
    name = full_name([each.name for each in bed.pods()], pod) if pod else ""
    print(bed.telemetry().metrics(name), end="")
