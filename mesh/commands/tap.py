"""``meshctl tap POD``: the bytes between a pod's sidecar and the sidecars that call it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mesh.commands.common import Mesh, Output, Pod, attach, check_output, note
from mesh.commands.logs import full_name

if TYPE_CHECKING:
    from mesh.testbed.tap import Chunk
    from mesh.testbed.tls_records import Decoder, Piece

SHOWN = 48
"""Bytes of an encrypted record that are shown, to see that there is nothing to see."""


def tap(
    pod: Pod,
    count: Annotated[
        int, typer.Option("-c", min=0, help="End after so many pieces or records (0: at Ctrl-C).")
    ] = 0,
    mesh: Mesh = "",
    output: Output = "text",
) -> None:
    """Show what goes over the wire to a pod: plain text, or the TLS records that mutual TLS makes of it."""
    check_output(output)
    bed = attach(mesh)
    name = full_name([each.name for each in bed.pods()], pod)
    with bed.tap(name) as wire:
        note(
            f"listening at {bed.find(name).name}; send requests from another terminal, Ctrl-C ends"
        )
        from mesh.testbed.tap import chunks

        for line in lines(chunks(wire), output, count):
            print(line, flush=True)


def lines(found: Iterator[Chunk], output: str, count: int = 0) -> Iterator[str]:
    """Say what chunks are, one after another; with ``count``, of the first so many pieces."""
    from mesh.testbed.tls_records import Decoder

    decoders: dict[tuple[int, bool], Decoder] = {}
    left = count
    for chunk in found:
        key = (chunk.connection, chunk.to_pod)
        decoder = decoders.setdefault(key, Decoder())
        pieces = decoder.feed(chunk.data) if chunk.data else decoder.end()
        for piece in pieces:
            yield from _json(chunk, piece) if output == "json" else _text(chunk, piece)
            left -= 1
            if not left:
                return
        if not chunk.data:
            del decoders[key]
            if output != "json":
                yield f"#{chunk.connection} {_arrow(chunk)} end"


def _arrow(chunk: Chunk) -> str:
    return "-->" if chunk.to_pod else "<--"


def _json(chunk: Chunk, piece: Piece) -> Iterator[str]:
    row: dict[str, Any] = {
        "connection": chunk.connection,
        "port": chunk.port,
        "to_pod": chunk.to_pod,
        "time": chunk.time,
        "kind": piece.kind,
        "what": piece.text,
        "bytes": piece.data.hex(),
    }
    yield json.dumps(row)


def _text(chunk: Chunk, piece: Piece) -> Iterator[str]:
    from mesh.testbed.tls_records import TLS

    what = f": {piece.text}" if piece.text else ""
    yield f"#{chunk.connection} {_arrow(chunk)} {len(piece.data)} bytes, {piece.kind}{what}"
    if piece.kind == TLS:
        yield from (f"      {row}" for row in dump(piece.data[:SHOWN]))
        if len(piece.data) > SHOWN:
            yield "      ..."
        return
    for row in piece.data.decode("utf-8", "replace").splitlines():
        yield "      " + "".join(each if each.isprintable() else "." for each in row)


def dump(data: bytes) -> Iterator[str]:
    """Return rows of 16 bytes as numbers and as text, as ``tcpdump -X`` does."""
    for at in range(0, len(data), 16):
        row = data[at : at + 16]
        text = "".join(chr(each) if 32 <= each < 127 else "." for each in row)
        yield f"{row.hex(' '):47}  {text}"
