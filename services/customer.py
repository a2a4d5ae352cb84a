"""customer: the first service, the one that the ingress gateway lets users reach.

``GET /`` answers ``customer => <what preference said>``.  It turns the browser's User-Agent into
``baggage-user-agent``, by which a rule deeper in the mesh can tell a phone from a desktop.

Option ``url``: the next service (``http://preference:8080/``).
"""

from __future__ import annotations

from flask import Blueprint, Response, request

from services.options import AppOptions
from services.propagation import forwarded_from_edge
from services.upstream import Upstream


def create(options: AppOptions) -> Blueprint:
    """Make the routes of customer."""
    routes = Blueprint("customer", __name__)
    url = str(options.options.get("url", "http://preference:8080/"))
    upstream = Upstream(url, options.proxy, options.threads)

    @routes.get("/")
    def call() -> Response:
        status, text = upstream.call(forwarded_from_edge(request.headers))
        return Response(f"customer => {text}\n", status, mimetype="text/plain")

    return routes
