"""``meshctl curl PATH``: send requests into the mesh (how every chapter does, since ports change)."""

from __future__ import annotations

import sys
from collections import Counter
from typing import Annotated

import typer

from mesh.commands.common import Mesh, Output, attach, check_output, note, print_json
from mesh.commands.errors import UserError
from mesh.commands.logs import full_name


def curl(
    path: Annotated[
        str,
        typer.Argument(
            metavar="PATH", help="/path, https://HOST/path at the gateway, or a URL with --from."
        ),
    ],
    source: Annotated[
        str, typer.Option("--from", metavar="POD", help="Ask as this pod's application does.")
    ] = "",
    header: Annotated[
        list[str] | None, typer.Option("--header", "-H", metavar="'NAME: VALUE'")
    ] = None,
    count: Annotated[int, typer.Option("-n", min=1, max=100_000, help="How many times.")] = 1,
    method: Annotated[str, typer.Option("--request", "-X", metavar="METHOD")] = "",
    data: Annotated[str | None, typer.Option("--data", "-d", help="The body of a POST.")] = None,
    include: Annotated[
        bool, typer.Option("--include", "-i", help="Status and headers too.")
    ] = False,
    cacert: Annotated[
        str, typer.Option("--cacert", metavar="FILE", help="Who is believed (https).")
    ] = "",
    cert: Annotated[str, typer.Option("--cert", metavar="FILE", help="Shown to the server.")] = "",
    key: Annotated[str, typer.Option("--key", metavar="FILE", help="Of --cert.")] = "",
    insecure: Annotated[
        bool, typer.Option("--insecure", "-k", help="Believe any server (https).")
    ] = False,
    mesh: Mesh = "",
    output: Output = "text",
) -> None:
    """Send a request to the gateway, or from a pod; each on a new connection."""
    from mesh.testbed.request import ClientTls

    check_output(output)
    headers = parse_headers(header or [])
    bed = attach(mesh)
    pod = full_name([each.name for each in bed.pods()], source) if source else ""
    if pod and "://" not in path:
        raise UserError(f"from a pod, name the service: http://recommendation:8080{path}")
    seen: Counter[int] = Counter()
    for _ in range(count):
        answer = bed.request(
            path,
            from_pod=pod,
            headers=headers,
            method=(method or ("GET" if data is None else "POST")).upper(),
            body=(data or "").encode(),
            tls=ClientTls(cacert, cert, key, not insecure),
        )
        seen[answer.status] += 1
        if output == "json":
            shown = [list(pair) for pair in answer.headers]
            print_json({"status": answer.status, "headers": shown, "body": answer.text})
            continue
        if include:
            print(f"HTTP/1.1 {answer.status}")
            print("".join(f"{name}: {value}\n" for name, value in answer.headers))
        sys.stdout.write(answer.text if answer.text.endswith("\n") else answer.text + "\n")
        sys.stdout.flush()
    if count > 1 or set(seen) != {200}:
        parts = ", ".join(f"{number} x {status}" for status, number in sorted(seen.items()))
        note(f"{count} request{'s' if count > 1 else ''}: {parts}")


def parse_headers(lines: list[str]) -> dict[str, str]:
    """Read ``NAME: VALUE`` texts; UserError for one without a colon."""
    found: dict[str, str] = {}
    for text in lines:
        name, colon, value = text.partition(":")
        if not colon or not name.strip():
            raise UserError(f"a header is written 'NAME: VALUE', not {text!r}")
        found[name.strip().lower()] = value.strip()
    return found
