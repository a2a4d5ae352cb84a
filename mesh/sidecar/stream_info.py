"""StreamInfo: all that a sidecar knows about one request, from its head to its log line.

Envoy has the same object under the same name; the access log, the statistics and the
explanation of a request are read from it.  Filters find it with ``stream_info(flow)``.
See it with ``meshctl explain REQUEST_ID``.

Source: Envoy ``envoy/stream_info/stream_info.h``.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from mitmproxy.http import HTTPFlow

    from mesh.sidecar.tls.peer import CertificateFacts
    from mesh.sidecar.tls.transport import TlsFacts

METADATA_KEY = "mesh.stream_info"


@dataclass(slots=True)
class ConnectionInfo:
    """What all requests of one client connection share; addresses are (IP, port).

    ``original`` is the address that the client asked for, where a listener filter restored it.
    ``tls`` is None for plaintext; ``server_name`` is the SNI that listener filters saw;
    ``xfcc`` caches the connection's element of x-forwarded-client-cert.
    """

    remote: tuple[str, int] = ("", 0)
    local: tuple[str, int] = ("", 0)
    original: tuple[str, int] | None = None
    server_name: str = ""
    tls: TlsFacts | None = None
    xfcc: bytes | None = None

    @property
    def peer(self) -> CertificateFacts | None:
        """The client's certificate, checked; None when it showed none."""
        return self.tls.peer if self.tls is not None else None

    @property
    def peer_uri_san(self) -> str:
        """The client's SPIFFE id (Envoy joins several by a comma), or nothing."""
        peer = self.peer
        return ",".join(peer.uri_sans) if peer is not None else ""


@dataclass(slots=True)
class StreamInfo:
    """One request's facts.

    ``start`` is Unix time and ``started`` the monotonic clock, both in seconds; sizes are bytes of
    bodies; ``explanation`` holds one entry per decision, in order: which rule matched, which
    draw chose which cluster, which endpoint was taken and why.  ``asked`` is the request as it
    was matched, before the route changed it, and that route; ``connection`` has the client's addresses and certificate.
    ``metadata`` is Envoy's dynamic metadata: what filters leave for each other and for the log, by
    namespace and key.
    """

    start: float
    started: float
    connection: ConnectionInfo = field(default_factory=ConnectionInfo)
    protocol: str = "HTTP/1.1"
    downstream_remote_address: str = ""
    downstream_peer_uri_san: str = ""
    requested_server_name: str = ""
    route_table: Any = None
    route: Any = None
    route_name: str = ""
    cluster: str = ""
    upstream_host: str = ""
    hosts_attempted: list[str] = field(default_factory=list)
    attempts: int = 0
    response_code: int = 0
    details: str = ""
    flags: list[str] = field(default_factory=list)
    upstream_transport_failure_reason: str = ""
    connection_termination_details: str = ""
    bytes_received: int = 0
    bytes_sent: int = 0
    ended: float = 0.0
    request_stream: Any = None
    request_chunked: bool = False
    upstream_connection: Any = None
    response_stream: Any = None
    headers_only: bool = False
    response_timer: Any = None
    timed_out: Any = None
    limits: Any = None
    head: Any = None
    asked: Any = None
    upgrade: bytes = b""
    upgrade_connection: bytes = b""
    upgrade_allowed: bool = True
    tunnelled: bool = False
    set_cookies: tuple[str, ...] = ()
    metadata: dict[str, dict[str, Any]] = field(default_factory=dict)
    span: Any = None
    explanation: list[dict[str, Any]] = field(default_factory=list)

    def flag(self, flag: str) -> None:
        """Add a response flag (``UF``, ``NR``, ...), once."""
        if flag not in self.flags:
            self.flags.append(flag)

    def flags_text(self) -> str:
        """The flags as Envoy prints them: in the order they were set, ``-`` when there are none."""
        return ",".join(self.flags) or "-"

    def explain(self, step: str, **facts: Any) -> None:
        """Record why a decision came out as it did."""
        self.explanation.append({"step": step, **facts})


def stream_info(flow: HTTPFlow) -> StreamInfo:
    """Return the StreamInfo of ``flow``."""
    return cast(StreamInfo, flow.metadata[METADATA_KEY])
