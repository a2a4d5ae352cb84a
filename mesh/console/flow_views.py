"""FlowViews: mitmproxy's flow view of a sidecar, opened when somebody asks, ended with the console."""

from __future__ import annotations

import select
import subprocess
import sys
import threading
from dataclasses import dataclass, field

SECONDS = 60.0
"""How long a view may take to say its address: it imports all of mitmproxy."""


class FlowViewError(Exception):
    """The view did not open; the text is one sentence."""


@dataclass(slots=True)
class FlowViews:
    """The views that are open, by pod: each a process that ends when its standard input is closed."""

    _open: dict[str, tuple[subprocess.Popen[str], str]] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def open(self, pod: str, admin: int | str) -> str:
        """Return the address of a pod's view, with its token; ``admin`` is the sidecar's port or socket.

        FlowViewError when it does not start.
        """
        with self._lock:
            process, address = self._open.get(pod, (None, ""))
            if process is not None and process.poll() is None:
                return address
            made = subprocess.Popen(
                [sys.executable, "-m", "mesh.console.mitmweb", str(admin), pod],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
            assert made.stdout is not None
            told, _, _ = select.select([made.stdout], [], [], SECONDS)
            address = made.stdout.readline().strip() if told else ""
            if not address:
                _end(made)
                raise FlowViewError(f"mitmproxy's flow view of {pod} did not open")
            self._open[pod] = made, address
            return address

    def addresses(self) -> list[str]:
        """Return the addresses of the open views."""
        return [address for _, address in self._open.values()]

    def close(self) -> None:
        """End all views."""
        with self._lock:
            for process, _ in self._open.values():
                _end(process)
            self._open.clear()


def _end(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.close()
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    process.stdout.close()
