"""mitmproxy's own flow view (mitmweb) of one sidecar, as a process of its own.

It reads the flows from the sidecar's admin port (``mesh.sidecar.flow_dump``) and shows them with
mitmproxy's page, on a port of 127.0.0.1 that the kernel chooses, guarded by a token of its own.
It is a view only: no proxy listens, and the addons that replay requests, run scripts or write files
are taken out.  It prints its address on one line, and ends when its standard input does::

    python -m mesh.console.mitmweb ADMIN_PORT_OR_SOCKET POD
"""

from __future__ import annotations

import asyncio
import logging
import signal
import sys
from collections import deque

from mitmproxy.flow import Flow
from mitmproxy.io import tnetstring
from mitmproxy.master import Master
from mitmproxy.options import Options
from mitmproxy.tools.web.master import WebMaster
from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets
from tornado.routing import HostMatches, Rule, RuleRouter

ADDRESS = "127.0.0.1"
KEPT = 1_000
"""Flows that are shown; the oldest go first."""
NOT_NEEDED = (
    "browser",
    "clientplayback",
    "commandhistory",
    "onboarding",
    "proxyserver",
    "readfilestdin",
    "save",
    "savehar",
    "scriptloader",
    "serverplayback",
    "tlsconfig",
)
"""Addons that act on the network, run code, or leave files."""
FILES = ("cut.save", "export.file", "options.load", "options.save", "view.flows.load")
"""Commands of other addons that read or write files."""
logger = logging.getLogger(__name__)


class FlowView(WebMaster):
    """mitmweb without a proxy."""

    def __init__(self) -> None:
        super().__init__(Options(), with_termlog=False)
        for name in NOT_NEEDED:  # they have not begun, so they need not be told that it is over
            addon = self.addons.lookup.pop(name)
            self.addons.chain.remove(addon)
            known = self.commands.commands
            for command in list(known):
                if command in FILES or getattr(known[command].func, "__self__", None) is addon:
                    del known[command]
        self.options.update(server=False, web_open_browser=False, web_host=ADDRESS)  # type: ignore[no-untyped-call]
        self.listening = asyncio.Event()
        self._kept: deque[Flow] = deque()

    async def running(self) -> None:
        """Listen on a free port, to our own names only."""
        sockets = bind_sockets(0, ADDRESS)
        self.options.update(web_port=sockets[0].getsockname()[1])  # type: ignore[no-untyped-call]
        own_names = Rule(HostMatches(r"127\.0\.0\.1|localhost"), self.app)
        HTTPServer(RuleRouter([own_names])).add_sockets(sockets)
        await Master.running(self)
        self.listening.set()

    def show(self, flow: Flow) -> None:
        """Show one more flow."""
        self.view.add([flow])
        self._kept.append(flow)
        while len(self._kept) > KEPT:
            self.view.remove([self._kept.popleft()])


async def follow(view: FlowView, place: str, pod: str) -> None:
    """Show the flows of a sidecar until it ends; the address is printed once they come."""
    try:
        if place.isdecimal():
            reader, writer = await asyncio.open_connection(ADDRESS, int(place))
        else:
            reader, writer = await asyncio.open_unix_connection(place)
        writer.write(b"GET /flows HTTP/1.1\r\nhost: localhost\r\n\r\n")
        head = await reader.readuntil(b"\r\n\r\n")
    except (OSError, asyncio.IncompleteReadError):
        view.shutdown()  # type: ignore[no-untyped-call]
        return
    if b" 200 " not in head:
        view.shutdown()  # type: ignore[no-untyped-call]
        return
    await view.listening.wait()
    print(view.web_url, flush=True)
    try:
        while True:
            size = await reader.readuntil(b":")
            data = size + await reader.readexactly(int(size[:-1]) + 1)
            view.show(Flow.from_state(tnetstring.loads(data)))
    except (OSError, asyncio.IncompleteReadError):
        logger.warning("the sidecar of %s has ended", pod)
    finally:
        writer.close()


async def serve(place: str, pod: str) -> None:
    """Serve until standard input ends."""
    loop = asyncio.get_running_loop()
    view = FlowView()
    loop.add_reader(sys.stdin.fileno(), view.shutdown)  # nothing is ever written: its end wakes us
    following = loop.create_task(follow(view, place, pod))
    await view.run()
    following.cancel()


def main() -> int:
    """Run; the arguments are the admin port or socket, and the pod's name."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C ends the console, and that ends us
    asyncio.run(serve(sys.argv[1], sys.argv[2]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
