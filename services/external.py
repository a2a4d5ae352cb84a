"""external: the world outside of the mesh, for labs that leave it without leaving this machine.

A topology's ``world`` names hosts that no service of the mesh has, such as ``edition.cnn.com``.
This one application answers for all of them, so egress lessons need no internet.  Which name was
asked for it takes from the Host header; where that is none of its names (a ServiceEntry with an
endpoint), from the port at which it was reached: each name has ports of its own.

Every name answers ``GET /path`` with ``NAME answers /path``, and ``/anything`` with what it
received, as JSON.  Names that end in ``httpbin.org`` know ``/get``, ``/headers``, ``/status/CODE``
and ``/delay/SECONDS``, those that begin with ``worldclockapi`` or ``worldtimeapi`` tell the time.
The journal's ``pod`` is the name.  See it with ``meshctl curl http://edition.cnn.com/ --from customer``.

Options: ``names``: port on which it listens (as text) -> outside name; ``hosts``: names that share these
ports; ``https``: the ports that speak TLS; ``certificates``: folder for their certificates and
``ca.pem``, which callers have to trust (``services.outside_ca``).  In a container, where all names
share ports::

    python -m services.server external 0.0.0.0:80,0.0.0.0:443 --options '{"https": [443],
      "hosts": ["edition.cnn.com", "httpbin.org"], "certificates": "/certificates"}'
"""

from __future__ import annotations

import datetime
import socket
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from flask import Blueprint, Response, g, jsonify, request

from services import https_front
from services.options import AppOptions

LONGEST_DELAY = 10.0
"""Seconds, as httpbin.org has it."""


def create(options: AppOptions) -> Blueprint:
    """Make the routes of every outside name."""
    routes = Blueprint("external", __name__)
    by_port = {str(port): str(name) for port, name in _mapping(options.options.get("names"))}
    hosts = _names(options)
    fronted = set(map(str, _list(options.options.get("fronted"))))

    @routes.before_request
    def address() -> None:
        port = request.environ.get("SERVER_PORT", "")
        g.name = asked_for(request.host, port, by_port, hosts)
        g.scheme = "https" if port in fronted else "http"
        headers = {key.lower(): value for key, value in request.headers.items()}
        g.journal = {"pod": g.name, "scheme": g.scheme, "headers": headers}

    @routes.route("/anything", defaults={"rest": ""}, methods=METHODS)
    @routes.route("/anything/<path:rest>", methods=METHODS)
    def anything(rest: str) -> Response:
        return _echo()

    @routes.route("/", defaults={"path": ""}, methods=METHODS)
    @routes.route("/<path:path>", methods=METHODS)
    def answer(path: str) -> Response:
        first, _, rest = path.partition("/")
        if g.name.endswith("httpbin.org") and first in ("get", "headers", "status", "delay"):
            return _httpbin(first, rest)
        if g.name.startswith(("worldclockapi", "worldtimeapi")):
            now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
            return jsonify(currentDateTime=now, datetime=now)
        return Response(f"{g.name} answers {request.path}\n", mimetype="text/plain")

    return routes


METHODS = ["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH"]


def asked_for(
    host: str, port: str, by_port: dict[str, str], hosts: frozenset[str] = frozenset()
) -> str:
    """Return the outside name of a request: its Host, else the name that listens on ``port``."""
    name = host.rsplit(":", 1)[0].lower().rstrip(".")
    return name if name in hosts or name in by_port.values() else by_port.get(port, name)


def behind_tls(
    options: AppOptions, sockets: Sequence[socket.socket]
) -> tuple[AppOptions, list[socket.socket]]:
    """Put TLS before the ports named in ``https``; makes a thread where there are any.

    Returns the sockets on which plain HTTP arrives, and options that know them.
    """
    encrypted = set(map(str, _list(options.options.get("https"))))
    names = {str(port): str(name) for port, name in _mapping(options.options.get("names"))}
    plain: list[socket.socket] = []
    doors: dict[socket.socket, tuple[str, int]] = {}
    fronted: list[str] = []
    for each in sockets:
        port = str(each.getsockname()[1])
        if port not in encrypted:
            plain.append(each)
            continue
        inner = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        inner.bind(("127.0.0.1", 0))
        plain.append(inner)
        doors[each] = inner.getsockname()
        fronted.append(str(doors[each][1]))
        if port in names:
            names[fronted[-1]] = names[port]
    if doors:
        from services.outside_ca import make_certificates  # only a world with HTTPS needs it

        folder = str(options.options.get("certificates") or "certificates")
        https_front.serve(doors, make_certificates(Path(folder), sorted(_names(options))))
    told = {**options.options, "names": names, "fronted": fronted}
    return replace(options, options=told), plain


def _httpbin(verb: str, rest: str) -> Response:
    if verb == "status":
        known = rest.isascii() and rest.isdecimal() and len(rest) == 3 and "2" <= rest[0] <= "5"
        return Response(status=int(rest) if known else 400)
    if verb == "delay":
        try:
            seconds = float(rest)
        except ValueError:
            return Response(status=400)
        time.sleep(min(max(seconds, 0.0), LONGEST_DELAY))  # the lesson is a slow host
    return jsonify(
        headers=dict(request.headers),
        origin=request.remote_addr,
        url=request.url,
        args=request.args,
    )


def _echo() -> Response:
    return jsonify(
        pod=g.name,
        method=request.method,
        scheme=g.scheme,
        path=request.full_path if request.query_string else request.path,
        headers=g.journal["headers"],
        body=request.get_data(as_text=True),
    )


def _names(options: AppOptions) -> frozenset[str]:
    own = [str(name) for _, name in _mapping(options.options.get("names"))]
    return frozenset(own) | {str(name) for name in _list(options.options.get("hosts"))}


def _list(raw: object) -> list[object]:
    return list(raw) if isinstance(raw, list) else []


def _mapping(raw: object) -> list[tuple[object, object]]:
    return list(raw.items()) if isinstance(raw, dict) else []
