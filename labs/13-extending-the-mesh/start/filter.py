"""A filter for recommendation's sidecar: an addon of mitmproxy.

``flow.request`` has method, path and headers; setting ``flow.response`` in ``request`` answers at
once (``http.Response.make(status, body, headers)``).  Bodies of requests and answers pass by
outside: what is not needed is not kept.
"""

from mitmproxy import http


class Guard:
    """Looks at every request, and at every answer."""

    def request(self, flow: http.HTTPFlow) -> None:
        """Called before the request goes on to the application."""

    def response(self, flow: http.HTTPFlow) -> None:
        """Called before the answer goes back to the caller."""


addons = [Guard()]
