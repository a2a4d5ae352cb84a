"""Ports from the kernel, held until they are not needed any more.

A port that is asked for and let go again can be somebody else's before it is used.  So a socket
stays bound to it, with SO_REUSEPORT and without listening: nobody gets the port by chance, and
the sidecar, which sets SO_REUSEPORT too, listens on it beside the holder.  Many meshes run side
by side this way, and a restarted sidecar finds its old port free.
"""

from __future__ import annotations

import socket

ADDRESS = "127.0.0.1"


class Ports:
    """The ports that this process holds."""

    def __init__(self) -> None:
        self._held: dict[int, socket.socket] = {}

    def take(self, count: int) -> list[int]:
        """Hold ``count`` more ports of 127.0.0.1 and return them; OSError when there is none."""
        taken = []
        for _ in range(count):
            holder = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
            if hasattr(socket, "SO_REUSEPORT"):
                holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            holder.bind((ADDRESS, 0))
            port = int(holder.getsockname()[1])
            self._held[port] = holder
            taken.append(port)
        return taken

    def release(self, ports: list[int]) -> None:
        """Let go of ports; those not held are passed over."""
        for port in ports:
            if (holder := self._held.pop(port, None)) is not None:
                holder.close()

    def close(self) -> None:
        """Let go of all."""
        self.release(list(self._held))
