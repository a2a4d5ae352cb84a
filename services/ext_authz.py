"""ext_authz: a server that decides who may pass, for AuthorizationPolicies with ``action: CUSTOM``.

It does what Istio's sample of that name does over HTTP: a request whose header ``x-ext-authz`` is
``allow`` is answered 200, any other 403 and ``denied by ext_authz ...``.  Its answers carry
``x-ext-authz-check-result`` (``allowed``, ``denied``), ``x-ext-authz-check-received`` (what it was asked:
method, host, path and the names of the headers) and ``x-ext-authz-additional-header-override`` (as
received); which of them go on is said by the provider in meshConfig.  The journal has the headers.
Source: istio/istio ``samples/extauthz/cmd/extauthz/main.go``.
See it with ``meshctl curl http://SERVICE/ --from POD -H 'x-ext-authz: allow'``.
"""

from __future__ import annotations

from flask import Blueprint, Response, g, request

from services.options import AppOptions

HEADER, ALLOW = "x-ext-authz", "allow"
RESULT = "x-ext-authz-check-result"
RECEIVED = "x-ext-authz-check-received"
OVERRIDE = "x-ext-authz-additional-header-override"
DENIED = f"denied by ext_authz for not found header `{HEADER}: {ALLOW}` in the request"
METHODS = ["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"]


def create(options: AppOptions) -> Blueprint:
    """Make the one route; it has no options."""
    del options
    routes = Blueprint("ext_authz", __name__)

    @routes.route("/", defaults={"path": ""}, methods=METHODS)
    @routes.route("/<path:path>", methods=METHODS)
    def check(path: str) -> Response:
        del path
        headers = {name.lower(): value for name, value in request.headers.items()}
        g.journal = {"headers": headers}
        allowed = headers.get(HEADER) == ALLOW
        names = ", ".join(sorted(headers))
        found = {
            RESULT: "allowed" if allowed else "denied",
            RECEIVED: f"{request.method} {request.host}{request.full_path.rstrip('?')}: {names}",
            OVERRIDE: headers.get(OVERRIDE, ""),
        }
        body, status = ("", 200) if allowed else (DENIED, 403)
        return Response(body, status, found, mimetype="text/plain")

    return routes
