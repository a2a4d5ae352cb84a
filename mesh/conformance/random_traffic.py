"""Random requests, for the rules of ``random_rules``: made of the same few words."""

from __future__ import annotations

from random import Random
from typing import Any

from mesh.conformance.random_rules import (
    HEADERS,
    METHODS,
    ORIGINS,
    PATHS,
    QUERIES,
    QUERY_VALUES,
    VALUES,
)

Data = dict[str, Any]
STATUSES = (200, 200, 204, 304, 400, 404, 409, 418, 429, 500, 502, 503, 504)
HOSTS = (
    *("backend:8080", "backend:8080", "backend:8080", "backend.tutorial:8080", "BACKEND:8080"),
    *("backend.tutorial.svc.cluster.local:8080", "backend", "inner:8080", "many:8080"),
    *("nobody:8080", "absent:8080"),
)
ODD_PATHS = (
    "/a/../b",
    "/%61",
    "/a?",
    "/a?v",
    "/a?v=1&v=2",
    "/a/./b?x=1",
    "/a??x",
    "/a/..;/b",
    "/%2e",
)
GARBAGE = (
    *("nonsense\r\n\r\n", "HTTP/1.1 200 OK\r\ncontent-length: x\r\n\r\n"),
    *("HTTP/1.0 200 OK\r\nx-reason: old\r\n\r\nhello", "HTTP/1.1 200 OK\r\n\r\nuntil the end"),
    "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    "HTTP/1.1 503 Busy\r\ncontent-length: 2\r\nx-envoy-overloaded: true\r\n\r\nno",
)


class Traffic:
    """Draws the steps of a case; with a name in ``held`` some answers are held back under it.

    ``mirrored``: a request and its copies may ask the same backend, in no order, so it has one answer.
    """

    def __init__(self, rng: Random, held: str, *, mirrored: bool = False) -> None:
        self.rng = rng
        self.held = held
        self.mirrored = mirrored

    def step(self, callers: tuple[str, ...]) -> Data:
        """Draw one request."""
        rng = self.rng
        caller = rng.choice(callers)
        headers = self._headers()
        step: Data = {"from": caller, "method": rng.choice(METHODS)}
        if caller == "gateway":
            headers["host"] = rng.choice(("shop.example", "shop.example", "other.example"))
            step["to"] = self._path()
        else:
            hosts = HOSTS[:5] if self.held else HOSTS
            step["to"] = f"http://{rng.choice(hosts)}{self._path()}"
        if step["method"] in ("POST", "PUT", "PATCH") and rng.random() < 0.7:
            step["body"] = rng.choice(("x", "hello {n}", "y" * 70000))
        step["headers"] = headers
        if rng.random() < 0.6:
            answers = 1 if self.mirrored else rng.choice((1, 1, 2, 3))
            step["script"] = [self._answer() for _ in range(answers)]
        step["count"] = rng.choice((1, 1, 2))
        return step

    def _path(self) -> str:
        rng = self.rng
        path = str(rng.choice(ODD_PATHS if rng.random() < 0.15 else PATHS))
        if "?" in path:
            return f"{path}&key=k"
        pairs = [
            f"{name}={rng.choice(QUERY_VALUES)}" if rng.random() < 0.8 else name
            for name in rng.sample(QUERIES, rng.choice((0, 0, 1, 2)))
        ]
        # A hash needs its key: without one the choice is a draw.
        return f"{path}?{'&'.join([*pairs, f'key={rng.randint(1, 20)}'])}"

    def _headers(self) -> dict[str, str]:
        rng = self.rng
        key = f"k{rng.randint(1, 20)}"
        headers = {"x-key": key, "cookie": f"a=b; key={key}"}
        for name in HEADERS:
            if name != "cookie" and rng.random() < 0.3:
                headers[name] = rng.choice(VALUES)
        if rng.random() < 0.2:
            headers["origin"] = rng.choice(ORIGINS)
            if rng.random() < 0.6:
                headers["access-control-request-method"] = rng.choice(("GET", "PUT"))
        if rng.random() < 0.1:
            name, value = rng.choice(
                (
                    ("x-envoy-max-retries", "3"),
                    ("x-envoy-retry-on", "5xx"),
                    ("x-envoy-upstream-rq-timeout-ms", "1"),
                    ("x-forwarded-for", "1.2.3.4"),
                    ("x-forwarded-proto", "https"),
                    ("x-envoy-original-path", "/forged"),
                    ("x-envoy-attempt-count", "7"),
                    ("te", "trailers"),
                    ("connection", "x-user, close"),
                    ("expect", "100-continue"),
                )
            )
            headers[name] = value
        return headers

    def _answer(self) -> Data:
        rng = self.rng
        kind = rng.random()
        if kind < 0.08:
            return {"close": rng.choice(("before_headers", "mid_body"))}
        if kind < 0.12:
            return {"reset": True}
        if kind < 0.2:
            return {"raw": rng.choice(GARBAGE)}
        if self.held and kind < 0.3:
            return {"hold": self.held}
        answer: Data = {"status": rng.choice(STATUSES)}
        if rng.random() < 0.3:
            answer["body"] = rng.choice(("", "text", "z" * 3000))
        if rng.random() < 0.3:
            name = rng.choice(("x-reason", "x-more", "server", "set-cookie"))
            many = ("one", ["one", "two"], "") if name != "server" else ("one", "")
            answer["headers"] = {name: rng.choice(many)}
        elif rng.random() < 0.1:
            name = rng.choice(("x-envoy-overloaded", "x-envoy-ratelimited", "grpc-status"))
            answer["headers"] = {name: "14" if name == "grpc-status" else "true"}
        if rng.random() < 0.1:
            answer["connection_close"] = True
        return answer
