"""shop: resilience written by hand, on the first of two stacks (Flask and requests).

``GET /anything`` asks recommendation and answers ``shop => <what it said>``.  With ``?by-hand=1`` it
uses the code below, as every team wrote it before there were meshes: up to three tries, 1 s each,
after any 5xx and after a broken connection.  Without, it asks once and leaves the rest to its
sidecar.  ``services.reports`` does the same job for its own stack; the two do not do the same.

Options: ``url``, the service that it asks (``http://recommendation:8080/``), and ``seconds``, how
long one try by hand may take (1).
See both with ``meshctl curl http://shop:8080/?by-hand=1 --from reports``.
"""

from __future__ import annotations

import requests
from flask import Blueprint, Response, request
from requests.adapters import HTTPAdapter

from services.options import AppOptions
from services.propagation import forwarded
from services.script import OWN_SCRIPT
from services.upstream import Upstream

TRIES = 3
SECONDS = 1.0


def create(options: AppOptions) -> Blueprint:
    """Make the routes of shop."""
    routes = Blueprint("shop", __name__)
    url = str(options.options.get("url", "http://recommendation:8080/"))
    seconds = float(str(options.options.get("seconds", SECONDS)))
    by_hand = ByHand(url, options.proxy, options.threads, seconds)
    plain = Upstream(url, options.proxy, options.threads)

    @routes.get("/", defaults={"path": ""})
    @routes.get("/<path:path>")
    def call(path: str) -> Response:
        headers = forwarded(request.headers)
        if OWN_SCRIPT in request.headers:  # what recommendation is to answer, for the lab
            headers[OWN_SCRIPT] = request.headers[OWN_SCRIPT]
        ask = by_hand.call if request.args.get("by-hand") == "1" else plain.call
        status, text = ask(headers)
        return Response(f"shop => {text}\n", status, mimetype="text/plain")

    return routes


class ByHand:
    """The retry loop of this team: its own limits, its own idea of what a failure is."""

    def __init__(self, url: str, proxy: str, connections: int, seconds: float) -> None:
        self._url = url
        self._seconds = seconds
        self._session = requests.Session()
        self._session.trust_env = False
        if proxy:
            self._session.proxies = {"http": proxy}
        self._session.mount("http://", HTTPAdapter(pool_maxsize=connections, max_retries=0))

    def call(self, headers: dict[str, str]) -> tuple[int, str]:
        """Ask until it works, at most ``TRIES`` times; returns (200, body) or (503, the last word)."""
        said = ""
        for _ in range(TRIES):
            try:
                answer = self._session.get(self._url, headers=headers, timeout=self._seconds)
            except requests.RequestException as problem:
                said = type(problem).__name__
                continue
            if answer.status_code < 500:
                return 200, answer.text.strip()
            said = f"Error: {answer.status_code} - {answer.text.strip()}"
        return 503, f"{said} (after {TRIES} tries by hand)"
