"""``meshctl trace [ID]``: one request's way through the mesh as a waterfall; export by OTLP."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from mesh.commands.common import Mesh, Output, attach, check_output, note, print_json, print_table
from mesh.commands.errors import UserError

if TYPE_CHECKING:
    from rich.text import Text

    from mesh.mixer.client import MixerClient
    from mesh.mixer.spans import Span, Trace

BAR = 30
"""Width of the waterfall's bars."""


def trace(
    name: Annotated[
        str, typer.Argument(metavar="[ID]", help="A trace id or x-request-id, or its beginning.")
    ] = "",
    limit: Annotated[int, typer.Option("--limit", metavar="N", help="How many to list.")] = 20,
    otlp: Annotated[
        str,
        typer.Option("--otlp", metavar="URL", help="Send them to a collector (Jaeger: port 4318)."),
    ] = "",
    mesh: Mesh = "",
    output: Output = "text",
) -> None:
    """List the newest traces, or show one as a waterfall; with --otlp send them to a collector."""
    check_output(output)
    mixer = attach(mesh).telemetry(spans=True)
    found = mixer.trace(name) if name else mixer.traces(limit)
    missing = mixer.sync().missing_spans
    if missing:
        note(f"{missing} spans have not come in yet: the sidecars that had them do not answer")
    if not found:
        raise UserError(no_trace(name, mixer))
    if otlp:
        from mesh.commands.otlp import export

        export(otlp, found)
        print(f" ✓ sent {len(found)} traces to {otlp}")
    elif output == "json":
        print_json([each.as_dict() for each in found])
    elif name:
        from rich.console import Console

        console = Console(highlight=False)
        for each in found:
            for line in waterfall(each):
                console.print(line, soft_wrap=True)
    else:
        print_table(["TRACE", "BEGAN", "TOOK", "SPANS", "WHAT"], [row(each) for each in found])


def no_trace(name: str, mixer: MixerClient) -> str:
    """Say why there is nothing to show."""
    if not name:
        return "no traces so far: send a request with `meshctl curl /`"
    text = f"no trace or request begins with {name!r}: see the newest with `meshctl trace`"
    if mixer.records(name):
        text = (
            f"the request {name!r} was not traced: it was not sampled (an id of your own has to be a "
            "UUID)"
        )
    return text


def row(found: Trace) -> list[str]:
    """Return a line of the list."""
    first = found.spans[0]
    began = datetime.fromtimestamp(found.start / 1e6, UTC)
    what = f"{first.tags.get('http.method', '')} {first.tags.get('http.url', first.name)}"
    if any(span.error for span in found.spans):
        what += "  (errors)"
    return [
        found.id[:16],
        f"{began:%H:%M:%S}.{began.microsecond // 1000:03d}",
        f"{found.duration / 1000:.1f} ms",
        str(len(found.spans)),
        what,
    ]


def waterfall(found: Trace) -> Iterable[Text]:
    """Yield a head line, then each span with its bar on the common time line."""
    from rich.text import Text

    yield Text(
        f"trace {found.id}  request {found.request_id}  {found.duration / 1000:.1f} ms", "bold"
    )
    for depth, span in found.ordered():
        label = f"{'  ' * depth}{who(span)}"
        yield Text.assemble(
            f"{label:<44.44} ",
            (bar(found, span), "red" if span.error else "cyan"),
            f" {span.duration / 1000:>8.1f} ms  {outcome(span)}",
        )
    if len(found.roots) > 1:
        yield Text(
            f"{len(found.roots)} spans have no parent here: an application did not hand on the "
            "headers of its request, or a sidecar's span is missing",
            "yellow",
        )


def who(span: Span) -> str:
    """``customer-v1 sends to preference``, ``preference-v1 receives``."""
    service = span.service.partition(".")[0]
    if span.kind == "CLIENT":
        pod = span.pod.rsplit("-", 2)[0] if span.pod else service
        _, _, subset, host = f"{span.tags.get('upstream_cluster', '')}|||".split("|")[:4]
        target = host.partition(".")[0] if ".svc." in host else host or span.name
        return f"{pod} sends to {target} {subset}".rstrip()
    return f"{span.pod.rsplit('-', 2)[0] or service} receives"


def bar(found: Trace, span: Span) -> str:
    """Return where a span lies on the time line of its trace."""
    whole = max(found.duration, 1)
    begin = min(BAR - 1, (span.start - found.start) * BAR // whole)
    length = max(1, min(BAR - begin, -(-span.duration * BAR // whole)))
    return "·" * begin + "█" * length + "·" * (BAR - begin - length)


def outcome(span: Span) -> str:
    """Return status and response flags."""
    flags = span.tags.get("response_flags", "-")
    return span.tags.get("http.status_code", "") + (f" {flags}" if flags != "-" else "")
