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

from urllib3 import PoolManager, ProxyManager
from urllib3.exceptions import HTTPError, NameResolutionError

TEXT = {"Accept": "text/plain"}


class Upstream:
    """The next service at ``url``, called through ``proxy`` (``""``: directly).

    urllib3 keeps up to ``connections`` connections open; unlike requests it reads nothing of the
    shell's environment and keeps no cookies, and it costs half the time.
    """

    def __init__(self, url: str, proxy: str, connections: int) -> None:
        self._url = url
        self._host = url.split("://", 1)[-1].split("/", 1)[0].rsplit(":", 1)[0]
        # A workload's list of authorities is its machine's, or the file that it is told.
        authorities = os.environ.get("SSL_CERT_FILE")
        self._pool = (
            ProxyManager(proxy, maxsize=connections, ca_certs=authorities)
            if proxy
            else PoolManager(maxsize=connections, ca_certs=authorities)
        )

    def call(self, headers: dict[str, str]) -> tuple[int, str]:
        """GET the service; returns (200, its body) or (503, what went wrong), without newline."""
        try:
            answer = self._pool.request(
                "GET", self._url, headers=TEXT | headers, retries=False, timeout=None
            )
        except HTTPError as problem:
            return 503, self._explain(problem)
        body = answer.data.decode("utf-8", "replace").strip()
        if 200 <= answer.status < 300:
            return 200, body
        return 503, f"Error: {answer.status} - {body}"

    def _explain(self, problem: HTTPError) -> str:
        """Say it as the tutorial's Java services do: a broken connection is a SocketException."""
        cause = getattr(problem, "original_error", problem)  # of a ProxyError
        if isinstance(cause, NameResolutionError):
            return f"UnknownHostException: {self._host}"
        if "Connection refused" in str(cause):
            return "ConnectException: Connection refused"
        return "SocketException: Connection reset"
