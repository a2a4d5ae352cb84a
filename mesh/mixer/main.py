"""Mixer as a process: it follows the access logs and answers questions about them.

It asks the control plane for the state of the mesh (``mesh.pilot.mixer_feed``) and is ready when it
has one.  Forked from a preloaded process, so importing this module starts nothing.
"""

from __future__ import annotations

import asyncio
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets, bind_unix_socket

from mesh.mixer.policy import PolicyError
from mesh.mixer.report import Report
from mesh.mixer.server import PRIVATE, PUBLIC, application
from services.lifeline import ends

READ_SECONDS = 1.0
"""How often the logs are read when nobody asks: a question then finds little left to read."""


@dataclass(frozen=True, slots=True)
class MixerOptions:
    """How to run.

    ``socket`` is Mixer's own Unix socket, ``pilot_socket`` the control plane's API; ``port`` on
    ``address`` is for Prometheus.  ``ready_fd`` gets one byte when both listen and the state of the
    mesh is known; the process ends at SIGTERM or when ``lifeline_fd`` closes.  -1 means none.
    ``zipkin_url``: where the sidecars' spans are passed on to as well, ``""`` for nowhere.
    """

    socket: Path
    pilot_socket: Path
    port: int
    address: str = "127.0.0.1"
    socket_mode: int = 0o600
    zipkin_url: str = ""
    ready_fd: int = -1
    lifeline_fd: int = -1


class PilotGoneError(Exception):
    """The control plane closed the connection."""


def run(options: MixerOptions) -> None:
    """Serve until SIGTERM or until the lifeline closes."""
    asyncio.run(_serve(options))


async def _serve(options: MixerOptions) -> None:
    end = asyncio.Event()
    ends(options.lifeline_fd, end)
    report = Report()
    report.zipkin_url = options.zipkin_url
    options.socket.unlink(missing_ok=True)
    private = HTTPServer(application(report, PRIVATE))
    private.add_sockets([bind_unix_socket(str(options.socket), mode=options.socket_mode)])
    public = HTTPServer(application(report, PUBLIC))
    public.add_sockets(bind_sockets(options.port, options.address, reuse_port=True))
    tasks = [
        asyncio.create_task(_follow_pilot(report, options, end)),
        asyncio.create_task(_read_now_and_then(report)),
    ]
    try:
        await end.wait()
    finally:
        for task in tasks:
            task.cancel()
        private.stop()
        public.stop()
        options.socket.unlink(missing_ok=True)


async def _follow_pilot(report: Report, options: MixerOptions, end: asyncio.Event) -> None:
    """Take over each new state of the mesh; without a control plane there is nothing to do."""
    ready_fd, version, error = options.ready_fd, -1, ""
    reader, writer = await asyncio.open_unix_connection(str(options.pilot_socket))
    try:
        while True:
            state = await _ask(reader, writer, {"after": version, "error": error})
            version, error = int(state["version"]), ""
            try:
                report.update(state)
            except PolicyError as problem:
                error = str(problem)
            if ready_fd >= 0:
                os.write(ready_fd, b"1")
                os.close(ready_fd)
                ready_fd = -1
    except (OSError, asyncio.IncompleteReadError, PilotGoneError):
        end.set()
    finally:
        writer.close()


async def _ask(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, body: dict[str, object]
) -> dict[str, Any]:
    """Send one question over the connection, which stays open: its end tells both sides."""
    payload = json.dumps(body).encode()
    writer.write(
        b"POST /mixer-feed HTTP/1.1\r\nhost: pilot\r\ncontent-type: application/json\r\n"
        b"content-length: %d\r\n\r\n%b" % (len(payload), payload)
    )
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
    length = next(
        (int(line.partition(":")[2]) for line in head.split("\r\n") if "content-length" in line), 0
    )
    text = await reader.readexactly(length)
    if " 200 " not in head.partition("\r\n")[0]:
        raise PilotGoneError(text.decode("utf-8", "replace"))
    return dict(json.loads(text))


async def _read_now_and_then(report: Report) -> None:
    while True:
        await asyncio.sleep(READ_SECONDS)
        await report.read_logs()
