"""UpstreamResetError: an attempt that brought no complete answer, in Envoy's words."""

from __future__ import annotations


class UpstreamResetError(Exception):
    """An attempt that ended without a complete answer.

    ``reason`` is Envoy's reset reason (``connection termination``), ``flag`` its response flag,
    ``transport`` the transport failure reason; ``started`` becomes true when a byte of the request
    had been sent.
    """

    def __init__(self, reason: str, flag: str, transport: str = "") -> None:
        super().__init__(reason)
        self.reason = reason
        self.flag = flag
        self.transport = transport
        self.started = False


def connection_termination() -> UpstreamResetError:
    """Describe a peer that closed the connection."""
    return UpstreamResetError("connection termination", "UC")


def protocol_error() -> UpstreamResetError:
    """Describe a peer that does not speak HTTP/1.1."""
    return UpstreamResetError("protocol error", "UPE")
