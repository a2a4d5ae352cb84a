"""external: the world outside of the mesh, for labs that leave it without leaving this machine.

A topology's ``world`` names hosts that no service of the mesh has, such as ``edition.cnn.com``.
This one application answers for all of them, so egress lessons need no internet.  Which name was
asked for it takes from the Host header; where that is none of its names (a ServiceEntry with an
endpoint), from the port at which it was reached: each name has ports of its own.

Every name answers ``GET /path`` with ``NAME answers /path``, and ``/anything`` with what it
received, as JSON.  Names that end in ``httpbin.org`` know ``/get``, ``/headers``, ``/status/CODE``
and ``/delay/SECONDS``, those that begin with ``worldclockapi`` or ``worldtimeapi`` tell the time.
The journal's ``pod`` is the name.  See it with ``meshctl curl http://edition.cnn.com/ --from customer``.

Option ``names``: port on which it listens (as text) -> outside name.
"""

from __future__ import annotations

import datetime
import time

from flask import Blueprint, Response, g, jsonify, request

from services.options import AppOptions

LONGEST_DELAY = 10.0
"""Seconds, as httpbin.org has it."""


def create(options: AppOptions) -> Blueprint:
    """Make the routes of every outside name."""
    routes = Blueprint("external", __name__)
    by_port = {str(port): str(name) for port, name in _mapping(options.options.get("names"))}

    @routes.before_request
    def address() -> None:
        g.name = asked_for(request.host, request.environ.get("SERVER_PORT", ""), by_port)
        headers = {key.lower(): value for key, value in request.headers.items()}
        g.journal = {"pod": g.name, "headers": headers}

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


def asked_for(host: str, port: str, by_port: dict[str, str]) -> str:
    """Return the outside name of a request: its Host, else the name that listens on ``port``."""
    name = host.rsplit(":", 1)[0].lower().rstrip(".")
    return name if name in by_port.values() else by_port.get(port, name)


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
        path=request.full_path if request.query_string else request.path,
        headers=g.journal["headers"],
        body=request.get_data(as_text=True),
    )


def _mapping(raw: object) -> list[tuple[object, object]]:
    return list(raw.items()) if isinstance(raw, dict) else []
