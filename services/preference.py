"""preference: the service in the middle, caller and called at once.

``GET /`` answers ``preference => <what recommendation said>``.

Option ``url``: the next service (``http://recommendation:8080/``).
"""

from __future__ import annotations

from flask import Blueprint, Response, request

from services.options import AppOptions
from services.propagation import forwarded
from services.upstream import Upstream


def create(options: AppOptions) -> Blueprint:
    """Make the routes of preference."""
    routes = Blueprint("preference", __name__)
    url = str(options.options.get("url", "http://recommendation:8080/"))
    upstream = Upstream(url, options.proxy, options.threads)

    @routes.get("/")
    def call() -> Response:
        status, text = upstream.call(forwarded(request.headers))
        return Response(f"preference => {text}\n", status, mimetype="text/plain")

    return routes
