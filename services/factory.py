"""The application factory: one Flask application for each service of the labs.

What every service has in common is here (health endpoints, the counter, the journal); what makes
it itself is in the module of its name.
"""

from __future__ import annotations

import itertools

from flask import Blueprint, Flask, Response, g, request

from services import customer, ext_authz, external, preference, recommendation, shop
from services.journal import Journal
from services.options import AppOptions

TEXT = "text/plain"

FLASK_SERVICES = {
    "customer": customer.create,
    "ext_authz": ext_authz.create,
    "external": external.create,
    "preference": preference.create,
    "recommendation": recommendation.create,
    "shop": shop.create,
}


def short_name(app: str) -> str:
    """``services.customer`` -> ``customer``; a plain name stays as it is."""
    return app.removeprefix("services.")


def create_app(options: AppOptions) -> Flask:
    """Make the Flask application for ``options.app``; an unknown name is a ValueError."""
    name = short_name(options.app)
    if name not in FLASK_SERVICES:
        known = ", ".join(sorted([*FLASK_SERVICES, "reports", "scripted", "tcp_echo", "grpc_echo"]))
        raise ValueError(f"there is no application {options.app!r}; there are: {known}")
    app = Flask(name, static_folder=None)
    app.register_blueprint(FLASK_SERVICES[name](options))
    app.register_blueprint(_health())
    _observe(app, Journal(options.journal, options.pod))
    return app


def _health() -> Blueprint:
    """Make what health checks ask; after ``/sick`` it is not ready, after ``/well`` it is again."""
    routes = Blueprint("health", __name__)
    state = {"sick": False}

    @routes.get("/health/live")
    def alive() -> Response:
        return Response("OK\n", mimetype=TEXT)

    @routes.get("/health/ready")
    def ready() -> Response:
        if state["sick"]:
            return Response("sick\n", 503, mimetype=TEXT)
        return Response("OK\n", mimetype=TEXT)

    @routes.get("/sick")
    def sick() -> Response:
        state["sick"] = True
        return Response("Following requests to '/health/ready' will return a 503\n", mimetype=TEXT)

    @routes.get("/well")
    def well() -> Response:
        state["sick"] = False
        return Response("Following requests to '/health/ready' will return a 200\n", mimetype=TEXT)

    return routes


def _observe(app: Flask, journal: Journal) -> None:
    """Count the requests to ``/`` and write every request down before its answer leaves."""
    counter = itertools.count(1)  # one C call: safe among threads

    @app.before_request
    def count() -> None:
        g.counter = next(counter) if request.path == "/" else 0

    @app.after_request
    def record(response: Response) -> Response:
        if request.path.startswith("/health/"):
            return response  # a health check is nobody's request
        journal.write(
            method=request.method,
            path=request.full_path if request.query_string else request.path,
            request_id=request.headers.get("x-request-id", ""),
            status=response.status_code,
            counter=g.counter,
            **g.get("journal", {}),
        )
        return response
