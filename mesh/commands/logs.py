"""``meshctl logs POD``: the access log of a pod's sidecar, or what its processes printed."""

from __future__ import annotations

import threading
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from mesh.commands.common import Mesh, Output, Pod, attach, check_output

if TYPE_CHECKING:
    from mesh.accesslog import AccessLogRecord

POLL_SECONDS = 0.5


def logs(
    pod: Pod,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until Ctrl-C.")] = False,
    printed: Annotated[
        bool, typer.Option("--printed", help="What application and sidecar printed instead.")
    ] = False,
    mesh: Mesh = "",
    output: Output = "text",
) -> None:
    """Show the access log of a pod (or of the gateway), one line a request."""
    check_output(output)
    bed = attach(mesh)
    name = full_name([each.name for each in bed.pods()], pod)
    if printed:
        print(bed.logs(name), end="")
        return
    shown, end = 0, threading.Event()
    while True:
        records = bed.access_log(name)
        for record in records[shown:]:
            print(as_json(record) if output == "json" else line(record), flush=True)
        shown = len(records)
        # The sidecar writes when it is asked to flush: somebody has to ask again.
        if not follow or end.wait(POLL_SECONDS):
            return


def full_name(names: list[str], start: str) -> str:
    """Return the only name that begins with ``start``; the testbed judges anything else."""
    close = [name for name in names if name.startswith(start)]
    return close[0] if len(close) == 1 else start


def as_json(record: AccessLogRecord) -> str:
    """Return a record as one line of JSON."""
    import json

    return json.dumps(asdict(record), ensure_ascii=False)


def line(record: AccessLogRecord) -> str:
    """Return the record in the order of Istio's default text format, shortened."""
    return (
        f"[{record.start_time}] {record.direction or '-'} "
        f'"{record.method} {record.path} {record.protocol}" {record.response_code} '
        f"{record.response_flags or '-'} {record.response_code_details or '-'} "
        f"{record.duration}ms {record.authority or '-'} {record.upstream_host or '-'} "
        f"{record.upstream_cluster or '-'} {record.route_name or '-'}"
    )
