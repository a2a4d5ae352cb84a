"""UpstreamRequest and UpstreamResponse: what an attempt sends and gets, in no version of HTTP yet.

Header names are lower case and hop-by-hop headers are out; the connection (``http1``, ``http2``)
frames the message in its own way.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from mesh.sidecar.body import BodyStream

Fields = list[tuple[bytes, bytes]]


@dataclass(slots=True)
class UpstreamRequest:
    """A request: ``body`` when it is complete, else ``stream``.

    ``fields`` are without ``host``; ``chunked`` says that the body has no ``content-length``;
    ``upgrade`` names the protocol that the client wants to change to, ``connection`` is what its
    header of that name said.
    """

    method: bytes
    scheme: bytes
    authority: bytes
    path: bytes
    fields: Fields
    body: bytes = b""
    stream: BodyStream | None = None
    chunked: bool = False
    upgrade: bytes = b""
    connection: bytes = b""
    trailers: Fields = field(default_factory=list)


@dataclass(slots=True)
class UpstreamResponse:
    """An answer: ``body`` and ``trailers`` when it is complete, else ``stream``.

    ``headers_only`` says that it ended with its headers (HTTP/2): it has no body at all.
    """

    status: int
    reason: bytes
    fields: Fields
    body: bytes
    stream: BodyStream | None = None
    trailers: Fields = field(default_factory=list)
    headers_only: bool = False
