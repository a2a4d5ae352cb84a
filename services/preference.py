"""preference: the service in the middle, caller and called at once.

``GET /`` answers ``preference => <what recommendation said>``.

Options: ``url``, the next service (``http://recommendation:8080/``); ``code``, the command of a
process that is asked which headers go with the next request (``services.handed_in``: in a lab that
students write).  ``/reload`` then starts it anew.
"""

from __future__ import annotations

from flask import Blueprint, Response, g, request

from services.handed_in import HandedIn, HandedInError
from services.options import AppOptions
from services.propagation import forwarded
from services.upstream import Upstream


def create(options: AppOptions) -> Blueprint:
    """Make the routes of preference."""
    routes = Blueprint("preference", __name__)
    url = str(options.options.get("url", "http://recommendation:8080/"))
    upstream = Upstream(url, options.proxy, options.threads)

    code = options.options.get("code")
    handed_in = HandedIn(code) if isinstance(code, list) else None

    @routes.get("/")
    def call() -> Response:
        headers = forwarded(request.headers)
        if handed_in is not None:
            received = {name.lower(): value for name, value in request.headers.items()}
            g.journal = {"headers": received}
            try:
                headers = handed_in.ask({"headers": received})["headers"]
            except HandedInError as problem:
                return Response(f"preference: {problem}\n", 500, mimetype="text/plain")
        status, text = upstream.call(headers)
        return Response(f"preference => {text}\n", status, mimetype="text/plain")

    @routes.get("/reload")
    def reload() -> Response:
        if handed_in is not None:
            handed_in.reload()
            handed_in.begin()
        return Response("OK\n", mimetype="text/plain")

    return routes
