"""Inspection: what the listener filters found out about a connection."""

from __future__ import annotations

from dataclasses import dataclass

RAW = "raw_buffer"
TLS = "tls"


@dataclass(slots=True)
class Inspection:
    """What the first bytes say.

    ``transport_protocol`` is ``tls`` or ``raw_buffer``; ``server_name`` the SNI in lower case;
    ``application_protocols`` what a TLS client offers (ALPN), or the HTTP version that was seen.
    """

    transport_protocol: str = RAW
    server_name: str = ""
    application_protocols: tuple[str, ...] = ()
