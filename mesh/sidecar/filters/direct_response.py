"""Direct response: the sidecar answers with a fixed status and body; nothing goes upstream.

In a VirtualService: ``directResponse`` with ``status`` (200 to 599) and ``body`` (``string``
or ``bytes``, below 1 MB).  Istio's ``block_all`` route (502, REGISTRY_ONLY) is one too.  The
access log says ``direct_response`` and no upstream host.
See it with ``curl -i`` through the mesh.

Source: Envoy, DirectResponseAction in ``route_components.proto``,
``source/common/router/router.cc`` (``Filter::decodeHeaders``).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from envoy_data_plane.envoy.config.route.v3 import DirectResponseAction

from mesh.sidecar.filters.head import RequestHead

MAX_BODY = 4096
"""Bytes that a body may have unless the route configuration raises the limit (Envoy's default)."""


@dataclass(frozen=True, slots=True)
class DirectResponse:
    """Status, body and (3xx, 201) ``location``; ``content_type`` is Envoy's for local answers when there is a body."""

    status: int
    body: bytes = b""
    content_type: str = "text/plain"
    location: str = ""


def compile_direct_response(
    action: DirectResponseAction, where: str, max_body: int = MAX_BODY
) -> DirectResponse:
    """Compile ``action``; ValueError for a status or body that Envoy refuses."""
    if not 200 <= action.status < 600:
        raise ValueError(
            f"{where}: direct response status {action.status} is not within 200 to 599"
        )
    body = b""
    if action.body is not None:
        if action.body.inline_string is not None:
            body = action.body.inline_string.encode()
        elif action.body.inline_bytes is not None:
            body = action.body.inline_bytes
        elif action.body.filename is not None:
            body = Path(action.body.filename).read_bytes()
        else:
            raise ValueError(
                f"{where}: the direct response's body has no inline text, bytes or file"
            )
    if len(body) > max_body:
        raise ValueError(
            f"{where}: direct response body of {len(body)} bytes, allowed are {max_body}"
        )
    return DirectResponse(action.status, body)


def decide(response: DirectResponse, head: RequestHead) -> DirectResponse:
    """Answer with what was compiled; 201 and 3xx name the request's own URL as the location."""
    if response.status != 201 and not 300 <= response.status < 400:
        return response
    return replace(response, location=f"{head.scheme}://{head.authority}{head.path}")
