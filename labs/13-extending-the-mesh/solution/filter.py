"""A filter for recommendation's sidecar: an addon of mitmproxy."""

from mitmproxy import http

OPEN = "/public"


class Guard:
    """Lets nobody in without the key, and marks every answer."""

    def request(self, flow: http.HTTPFlow) -> None:
        """Called before the request goes on to the application."""
        key = flow.request.headers.pop("x-api-key", "")
        path = flow.request.path.partition("?")[0]
        if path == OPEN or path.startswith(OPEN + "/"):
            return
        if key != "open-sesame":
            flow.response = http.Response.make(401, "no key")

    def response(self, flow: http.HTTPFlow) -> None:
        """Called before the answer goes back to the caller."""
        flow.response.headers["x-checked-by"] = "blue"


addons = [Guard()]
