"""The application server: waitress, on a Unix socket or a TCP port.

Idle connections are kept longer than any sidecar keeps them (CHANNEL_TIMEOUT): an application
that closes first answers now and then a request with a closed connection, which the sidecar must
report as 503 UC although nobody did anything wrong.

Run one by hand: ``python -m services.server recommendation 127.0.0.1:8080``.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import socket
import sys

from waitress.server import create_server

from services import external, lifeline, reports, scripted, tcp_echo
from services.factory import create_app, short_name
from services.options import AppOptions

CHANNEL_TIMEOUT = 3600
"""Seconds; the translation sets every cluster's idle timeout below it."""

SEND_BYTES = 16384
"""An answer up to this size leaves in one piece; waitress by itself sends the head first, alone."""


def bind(listen: str) -> socket.socket:
    """Make a bound, not yet listening socket for ``unix:<path>`` or ``<address>:<port>``.

    OSError when the address is taken; a Unix socket left by a dead process is replaced.
    """
    if listen.startswith("unix:"):
        path = listen.removeprefix("unix:")
        if os.path.exists(path):  # noqa: PTH110 - a socket, not a file to read
            os.unlink(path)  # noqa: PTH108
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        sock.bind(path)
        return sock
    address, _, port = listen.rpartition(":")
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if hasattr(socket, "SO_REUSEPORT"):  # the testbed holds the port with a socket of its own
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    sock.bind((address, int(port)))
    return sock


def run(options: AppOptions) -> None:
    """Serve until killed; threads begin here, so call it after the fork."""
    lifeline.watch(options.lifeline_fd)
    sockets = [bind(each) for each in options.listen.split(",")]
    if short_name(options.app) == "scripted":
        scripted.serve(sockets[0], options)
        return
    if short_name(options.app) == "reports":
        reports.serve(sockets[0], options)
        return
    if short_name(options.app) == "tcp_echo":
        tcp_echo.serve(sockets, options)
        return
    if short_name(options.app) == "grpc_echo":
        from services import grpc_echo  # needs h2, which no other application does

        grpc_echo.serve(sockets[0], options)
        return
    if short_name(options.app) == "external":
        options, sockets = external.behind_tls(options, sockets)
    logging.getLogger("waitress.queue").setLevel(logging.ERROR)
    server = create_server(
        create_app(options),
        sockets=sockets,
        threads=options.threads,
        channel_timeout=CHANNEL_TIMEOUT,
        connection_limit=2000,
        asyncore_use_poll=True,
        clear_untrusted_proxy_headers=False,
        ident="",
        send_bytes=SEND_BYTES,
    )
    lifeline.ready(options.ready_fd)
    server.run()


def main(arguments: list[str]) -> int:
    """``python -m services.server APP LISTEN``: one application, in a container or for a look."""
    parser = argparse.ArgumentParser(prog="python -m services.server")
    parser.add_argument(
        "app",
        metavar="APP",
        help="customer, preference, recommendation, external, reports, scripted, shop, tcp_echo, grpc_echo",
    )
    parser.add_argument(
        "listen", metavar="LISTEN", help="unix:PATH or ADDRESS:PORT, several with commas between"
    )
    parser.add_argument("--version", default="v1", help="the label version (v1)")
    parser.add_argument("--options", default="{}", metavar="JSON", help="of the application")
    parser.add_argument("--journal", default="", metavar="FILE", help="/dev/stdout in a container")
    given = parser.parse_args(arguments)
    try:
        options = json.loads(given.options)
    except ValueError as problem:
        parser.error(f"--options is no JSON: {problem}")
    pod = os.environ.get("HOSTNAME", short_name(given.app))
    proxy = os.environ.get("http_proxy", "")
    try:
        run(AppOptions(given.app, pod, given.listen, given.version, proxy, given.journal, options))
    except (ValueError, OSError) as problem:
        parser.error(str(problem))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
