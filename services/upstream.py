"""How an application calls the next service: one plain HTTP request, no cleverness.

No retries, no time limit, no circuit breaker, no load balancing: all of that moved out of the
applications into the mesh, which is the point of having one.  The sidecar is reached as an
ordinary HTTP proxy; the proxy settings of the user's shell (``NO_PROXY`` above all) never count,
for they would take a service out of the mesh in silence.

Error texts are the tutorial's: an answer other than 2xx becomes ``Error: <status> - <body>``, a
connection that failed ``<exception>: <message>``, and both become a 503 of the caller, so the
user sees at which hop a chain broke.
"""

from __future__ import annotations

import os
from http.cookiejar import DefaultCookiePolicy

import requests
from requests.adapters import HTTPAdapter


class Upstream:
    """The next service at ``url``, called through ``proxy`` (``""``: directly)."""

    def __init__(self, url: str, proxy: str, connections: int) -> None:
        self._url = url
        self._host = url.split("://", 1)[-1].split("/", 1)[0].rsplit(":", 1)[0]
        self._session = requests.Session()
        self._session.trust_env = False
        self._session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        self._session.headers.clear()
        self._session.headers["accept"] = "text/plain"
        if proxy:
            self._session.proxies = {"http": proxy, "https": proxy}
        # A workload's list of authorities is its machine's, or the file that it is told.
        self._session.verify = os.environ.get("SSL_CERT_FILE") or True
        for scheme in ("http://", "https://"):
            self._session.mount(scheme, HTTPAdapter(pool_maxsize=connections, max_retries=0))

    def call(self, headers: dict[str, str]) -> tuple[int, str]:
        """GET the service; returns (200, its body) or (503, what went wrong), without newline."""
        try:
            answer = self._session.get(self._url, headers=headers, allow_redirects=False)
        except requests.RequestException as problem:
            return 503, self._explain(problem)
        body = answer.content.decode("utf-8", "replace").strip()
        if 200 <= answer.status_code < 300:
            return 200, body
        return 503, f"Error: {answer.status_code} - {body}"

    def _explain(self, problem: requests.RequestException) -> str:
        text = str(problem)
        if "NameResolutionError" in text or "Failed to resolve" in text:
            return f"UnknownHostException: {self._host}"
        if "Connection refused" in text:
            return "ConnectException: Connection refused"
        if isinstance(problem, requests.exceptions.ConnectionError):
            return "SocketException: Connection reset"
        return f"{type(problem).__name__}: {text}"
