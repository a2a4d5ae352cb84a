"""Admin: the local HTTP interface of a sidecar, for its state and its counters.

Envoy serves it on 127.0.0.1; the mitmproxy sidecar offers the same paths.  In a real mesh:
``kubectl exec POD -c istio-proxy -- pilot-agent request GET stats``.
Source: Envoy, "Administration interface" (operations/admin).
"""

from __future__ import annotations

import http.client
import json
import time
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from mesh.unixhttp import UnixConnection

UNWRITTEN = "filesystem.write_total_buffered"
"""Gauge: bytes of access logs that are not in their files yet."""


class AdminError(Exception):
    """The admin interface did not answer, or not with success."""


@dataclass(frozen=True, slots=True)
class Admin:
    """The admin interface at 127.0.0.1:``port``, or at a Unix socket; ``timeout`` in seconds."""

    port: int | str
    timeout: float = 5.0

    def ready(self) -> bool:
        """True when the sidecar has its configuration and takes requests."""
        try:
            return self._request("GET", "/ready")[0] == http.client.OK
        except AdminError:
            return False

    def stats(self, pattern: str = "") -> dict[str, int]:
        """Return counters and gauges by name, of those that ``pattern`` (a regex) matches."""
        query = f"&filter={quote(pattern, safe='')}" if pattern else ""
        data = self._json(f"/stats?format=json{query}")
        return {each["name"]: each["value"] for each in data["stats"] if "value" in each}

    def clusters(self) -> dict[str, Any]:
        """Return clusters and the health of their endpoints."""
        return self._json("/clusters?format=json")

    def config_dump(self) -> dict[str, Any]:
        """Return the configuration that is in force."""
        return self._json("/config_dump")

    def explain(self, request_id: str) -> list[dict[str, Any]]:
        """Return the records of one request; the mitmproxy sidecar alone has them."""
        found = self._json(f"/explain?request_id={quote(request_id, safe='')}")
        return list(found["records"])

    def reload_filter(self) -> None:
        """Load the filter beside the sidecar again; the mitmproxy sidecar alone has one."""
        status, body = self._request("POST", "/reload_filter")
        if status != http.client.OK:
            raise AdminError(
                f"POST /reload_filter on port {self.port} gave {status}: {body[:200]!r}"
            )

    def drain_listeners(self) -> None:
        """Let each further answer of the inbound listeners end its connection (pilot-agent's call).

        New connections are still taken, and served: somebody may be on the way already.
        """
        path = "/drain_listeners?graceful&inboundonly&skip_exit"
        status, body = self._request("POST", path)
        if status != http.client.OK:
            raise AdminError(f"POST {path} on port {self.port} gave {status}: {body[:200]!r}")

    def reopen_logs(self) -> None:
        """Return when everything logged so far is in the access log file: the barrier before reading.

        Envoy answers before its flush thread has written, so its gauge of unwritten bytes is asked
        until it is 0.  A record that comes in between waits for Envoy's own timer (10 s), so Envoy
        is asked to write each time; AdminError after ``timeout`` seconds.
        """
        end = time.monotonic() + self.timeout
        while True:
            status, body = self._request("POST", "/reopen_logs")
            if status != http.client.OK:
                raise AdminError(
                    f"POST /reopen_logs on port {self.port} gave {status}: {body[:200]!r}"
                )
            if not self.stats(UNWRITTEN).get(UNWRITTEN, 0):
                return
            if time.monotonic() > end:
                raise AdminError(
                    f"the access log of the sidecar at admin port {self.port} is still not written "
                    f"after {self.timeout:g} s: is the disk full?"
                )

    def _json(self, path: str) -> dict[str, Any]:
        status, body = self._request("GET", path)
        if status != http.client.OK:
            raise AdminError(f"GET {path} on port {self.port} gave {status}: {body[:200]!r}")
        data: dict[str, Any] = json.loads(body)
        return data

    def _request(self, method: str, path: str) -> tuple[int, bytes]:
        connection = _connection(self.port, self.timeout)
        try:
            connection.request(method, path)
            response = connection.getresponse()
            return response.status, response.read()
        except (OSError, http.client.HTTPException) as error:
            raise AdminError(
                f"the sidecar's admin port {self.port} does not answer ({error}): is it running?"
            ) from error
        finally:
            connection.close()


def _connection(place: int | str, timeout: float) -> http.client.HTTPConnection:
    if isinstance(place, str):
        return UnixConnection(place, timeout)
    return http.client.HTTPConnection("127.0.0.1", place, timeout=timeout)
