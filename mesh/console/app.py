"""The web application: Dash on Flask, with the guard in front and nothing from outside.

Every script and style comes from this server; a Content-Security-Policy tells the browser to
fetch nothing from anywhere else, so a lecture hall without network shows the same page.
"""

from __future__ import annotations

from pathlib import Path

from dash import Dash
from flask import Flask, Response, redirect, request
from werkzeug.wrappers import Response as WerkzeugResponse

from grader.lab import all_labs
from mesh.console.callbacks import register
from mesh.console.guard import COOKIE, Guard
from mesh.console.layout import page
from mesh.console.page_source import PageSource

POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; "
    "style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; font-src 'self' data:; "
    "connect-src 'self'; frame-ancestors 'none'; form-action 'self'; base-uri 'self'"
)


def create_app(source: PageSource, guard: Guard, runs: Path = Path("runs")) -> Flask:
    """Return the application about one mesh, or the recording of one."""
    server = Flask("mesh.console")
    _guarded(server, guard)
    dash = Dash(
        "mesh.console",
        server=server,
        serve_locally=True,
        assets_folder=str(Path(__file__).with_name("assets")),
        title="Mesh lab console",
        update_title="",
    )
    dash.layout = page(source, [each.number for each in all_labs()])
    register(dash, source, runs)
    return server


def _guarded(server: Flask, guard: Guard) -> None:
    @server.before_request
    def check() -> Response | WerkzeugResponse | None:
        given = request.args.get("token", "")
        token = given or request.cookies.get(COOKIE, "")
        refusal = guard.check(request.host, request.headers.get("Origin", ""), token)
        if refusal is not None:
            return Response(f"{refusal.reason}\n", refusal.status, mimetype="text/plain")
        if given:  # the token leaves the address bar, and with it the browser's history
            answer = redirect(request.path)
            answer.set_cookie(COOKIE, given, httponly=True, samesite="Strict")
            return answer
        return None

    @server.after_request
    def protect(answer: Response) -> Response:
        answer.headers["Content-Security-Policy"] = POLICY
        answer.headers["X-Content-Type-Options"] = "nosniff"
        answer.headers["Referrer-Policy"] = "no-referrer"
        return answer
