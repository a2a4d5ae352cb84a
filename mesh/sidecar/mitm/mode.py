"""SidecarMode and SidecarInstance: a listener as mitmproxy's proxy mode and server instance.

``ProxyMode`` and ``ServerInstance`` register their subclasses by name, so ``sidecar`` stands next to
``reverse`` and ``transparent``.  The instance listens with our own connection handler:
``ServerInstance.handle_stream`` has mitmproxy's built in.
"""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING, Any, Literal

from mitmproxy.proxy.context import Context
from mitmproxy.proxy.layer import Layer
from mitmproxy.proxy.mode_servers import AsyncioServerInstance
from mitmproxy.proxy.mode_specs import ProxyMode

if TYPE_CHECKING:
    from mesh.sidecar.listener import ActiveListener


class SidecarMode(ProxyMode):  # type: ignore[no-untyped-call]
    """The mode ``sidecar:LISTENER@HOST:PORT``."""

    description = "sidecar"
    transport_protocol: Literal["tcp"] = "tcp"

    def __post_init__(self) -> None:
        """Accept any listener name."""


class SidecarInstance(AsyncioServerInstance[SidecarMode]):  # type: ignore[no-untyped-call]
    """The listening socket of one ActiveListener."""

    listener: ActiveListener

    async def listen(self, host: str, port: int) -> list[Any]:
        """Bind with SO_REUSEPORT (whoever reserved the port holds it so) and listen."""
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        sock = socket.socket(family, socket.SOCK_STREAM)
        try:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            sock.bind((host, port))
            loop = asyncio.get_running_loop()
            server = await loop.create_server(self.listener.protocol, sock=sock, backlog=1024)
        except OSError:
            sock.close()
            raise
        return [server]

    def make_top_layer(self, context: Context) -> Layer:
        """Never called: connections are served by the listener's filter chain."""
        raise NotImplementedError
