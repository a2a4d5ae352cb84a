"""``meshctl logs POD``: the access log of a pod's sidecar, or what its processes printed.

``meshctl logs --trace ID`` joins the logs of all pods by a trace id or ``x-request-id``;
``meshctl logs mixer`` shows what Mixer's adapter ``stdio`` wrote.
"""

from __future__ import annotations

import threading
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from mesh.commands.common import Mesh, Output, attach, check_output, note
from mesh.commands.errors import UserError

if TYPE_CHECKING:
    from mesh.accesslog import AccessLogRecord
    from mesh.mixer.access_logging import Shown
    from mesh.testbed.mesh_testbed import MeshTestbed

POLL_SECONDS = 0.5
AccessLogRecordKey = tuple[str, str, str, int]
"""pod, direction, start time, duration: two records are never equal in all of them."""


def logs(
    pod: Annotated[
        str, typer.Argument(metavar="[POD]", help="A pod, or the start of its name.")
    ] = "",
    trace: Annotated[
        str, typer.Option("--trace", metavar="ID", help="All pods' records of one request.")
    ] = "",
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until Ctrl-C.")] = False,
    printed: Annotated[
        bool, typer.Option("--printed", help="What application and sidecar printed instead.")
    ] = False,
    tail: Annotated[
        int | None, typer.Option("--tail", min=0, metavar="N", help="Only the newest N lines.")
    ] = None,
    whole: Annotated[
        bool, typer.Option("--all", help="Also what Telemetry's accessLogging leaves out.")
    ] = False,
    mesh: Mesh = "",
    output: Output = "text",
) -> None:
    """Show the access log of a pod (or of the gateway), one line a request; or one request's."""
    check_output(output)
    if bool(pod) == bool(trace):
        raise UserError("say which: a POD, or --trace ID")
    bed = attach(mesh)
    if trace:
        _of_trace(bed, trace, follow, output)
        return
    if pod == "mixer":
        for entry in bed.telemetry().entries():
            print(entry)
        return
    name = full_name([each.name for each in bed.pods()], pod)
    if printed:
        print(bed.logs(name), end="")
        return
    rules = {} if whole else rules_of(bed, name)
    read, left_out, end = 0, 0, threading.Event()
    while True:
        records = bed.access_log(name)
        new = records[read:]
        shown = [each for each in new if (rule := rules.get(each.direction)) is None or rule(each)]
        left_out += len(new) - len(shown)
        if tail is not None and not read:
            shown = shown[len(shown) - min(tail, len(shown)) :]
        for record in shown:
            print(as_json(record) if output == "json" else line(record), flush=True)
        read = len(records)
        # The sidecar writes when it is asked to flush: somebody has to ask again.
        if not follow or end.wait(POLL_SECONDS):
            break
    if left_out:
        note(f"Telemetry leaves {left_out} of {read} records out: --all shows them")


def rules_of(bed: MeshTestbed, pod: str) -> dict[str, Shown]:
    """Return what the Telemetry resources in force say about a pod's access log."""
    from mesh.istio import era, load_text
    from mesh.mixer.access_logging import AccessLogging

    rows = [each for each in bed.pilot.resources() if each["kind"] == "Telemetry"]
    if not rows:
        return {}
    release, node = era(bed.era), bed.find(pod).node
    found = [
        resource
        for each in rows
        for resource in load_text(
            each["text"], each["file"], era=release, namespace=each["namespace"]
        ).resources
    ]
    return AccessLogging(found).of(node.namespace, node.labels)


def _of_trace(bed: MeshTestbed, trace: str, follow: bool, output: str) -> None:
    """Print the records of one trace or request, of all pods, by time."""
    shown: set[AccessLogRecordKey] = set()
    end = threading.Event()
    while True:
        for record in bed.telemetry().records(trace):
            key = (record.pod, record.direction, record.start_time, record.duration)
            if key not in shown:
                text = as_json(record) if output == "json" else f"{record.pod}  {line(record)}"
                print(text, flush=True)
            shown.add(key)
        if not follow and not shown:
            raise UserError(
                f"no record of {trace!r}: give a whole trace id or x-request-id "
                "(`meshctl trace -o json` has them); only the newest records are kept"
            )
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
        f'{record.duration}ms "{record.user_agent or "-"}" {record.request_id or "-"} '
        f"{record.authority or '-'} {record.upstream_host or '-'} "
        f"{record.upstream_cluster or '-'} {record.route_name or '-'}"
    )
