"""RequestFacts: what an authorization policy may ask about a request.

Who calls (the names in the client's certificate, in Envoy's order: URIs, DNS names, subject),
from where, to which port, with which head, and what filters before have found out (the claims of
a token).  In plain text nobody has a name.

Source: Envoy ``source/extensions/filters/common/rbac/matchers.cc``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from mitmproxy.http import HTTPFlow

from mesh.sidecar.filters.head import RequestHead
from mesh.sidecar.filters.match import head_of
from mesh.sidecar.stream_info import StreamInfo


@dataclass(frozen=True, slots=True)
class RequestFacts:
    """Facts of one request.

    ``encrypted``: the connection is TLS; ``names``: those of the client's certificate.  ``direct``
    is the peer's IP address, ``remote`` the one of the original client, as far as it is believed.
    ``metadata``: filter -> what it found out.
    """

    head: RequestHead
    encrypted: bool = False
    names: tuple[str, ...] = ()
    direct: str = ""
    remote: str = ""
    local: str = ""
    port: int = 0
    server_name: str = ""
    metadata: Mapping[str, Any] = field(default_factory=dict)


def facts_of(flow: HTTPFlow, info: StreamInfo) -> RequestFacts:
    """Collect the facts of a request."""
    head = head_of(flow, info)
    connection = info.connection
    peer, direct = connection.peer, connection.remote[0]
    return RequestFacts(
        head,
        encrypted=connection.tls is not None,
        names=(*peer.uri_sans, *peer.dns_sans, peer.subject) if peer is not None else (),
        direct=direct,
        remote=info.downstream_remote_address.rpartition(":")[0].strip("[]") or direct,
        local=connection.local[0],
        port=connection.local[1],
        server_name=connection.server_name,
        metadata=info.metadata,
    )
