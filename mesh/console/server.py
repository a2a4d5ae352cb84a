"""Serving the console on loopback, with a thread for each question of the page."""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable

from werkzeug.serving import make_server

from mesh.console.app import create_app
from mesh.console.guard import Guard
from mesh.console.page_source import PageSource

ADDRESS = "127.0.0.1"


def serve(source: PageSource, port: int, public_origin: str, ready: Callable[[str], None]) -> None:
    """Serve until interrupted; ``ready`` gets the address with its token. OSError: port taken."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    with socket.create_server((ADDRESS, port)) as listening:
        own = listening.getsockname()[1]
        guard = Guard(own, public_origin)
        app = create_app(source, guard)
        server = make_server(ADDRESS, own, app, threaded=True, fd=listening.fileno())
        ready(f"{public_origin or f'http://{ADDRESS}:{own}'}/?token={guard.token}")
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            pass
        finally:
            server.server_close()
            source.close()
