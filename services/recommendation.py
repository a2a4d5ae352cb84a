"""recommendation: the last service, of which v1 and v2 run side by side.

``GET /`` answers ``recommendation v1 from '<pod>': <n>``; ``n`` counts the requests that this pod
handled, so the text itself shows which version and which pod answered.  ``/misbehave`` makes this
one process answer 503 from then on (a sick pod that still lives), ``/behave`` heals it.
``POST /ratings`` stores a rating, ``GET /ratings`` counts them: something that really happens, once
for each request that arrives, whoever sent it and whether or not anybody waits for the answer.

With the option ``outside`` (a URL) it asks a host outside of the mesh for the time first, as the
tutorial's v3 does: ``recommendation v3 <time> from '<pod>': <n>``, and 500 when it gets no answer.
Options: ``delay`` (seconds before each answer: the tutorial's slow v2 takes 3), ``misbehave``.
"""

from __future__ import annotations

import itertools
import json
import time

from flask import Blueprint, Response, g, request

from services.options import AppOptions
from services.propagation import forwarded
from services.upstream import Upstream


def create(options: AppOptions) -> Blueprint:
    """Make the routes of recommendation; the label ``version`` is part of its text."""
    routes = Blueprint("recommendation", __name__)
    delay = float(str(options.options.get("delay", 0)))
    outside = str(options.options.get("outside", ""))
    clock = Upstream(outside, options.proxy, options.threads) if outside else None
    state = {"misbehave": bool(options.options.get("misbehave", False)), "ratings": 0}
    ratings = itertools.count(1)  # one C call: safe among threads

    def text(body: str, status: int = 200) -> Response:
        return Response(body, status, mimetype="text/plain")

    @routes.get("/")
    def answer() -> Response:
        if delay:
            time.sleep(delay)  # the lesson is a slow service, this is not a wait for something
        if state["misbehave"]:
            return text(f"recommendation misbehavior from '{options.pod}'\n", 503)
        name = f"recommendation {options.version}"
        if clock is not None:
            now = _time(*clock.call(forwarded(request.headers)))
            if not now:
                return text("Internal Server Error\n", 500)
            name = f"{name} {now}"
        return text(f"{name} from '{options.pod}': {g.counter}\n")

    @routes.post("/ratings")
    def rate() -> Response:
        number = next(ratings)
        state["ratings"] = max(state["ratings"], number)
        if delay:
            time.sleep(delay)  # stored at once, answered late
        return text(f"rating {number} stored by '{options.pod}'\n")

    @routes.get("/ratings")
    def rated() -> Response:
        return text(f"{state['ratings']}\n")

    @routes.get("/misbehave")
    def misbehave() -> Response:
        state["misbehave"] = True
        return text("Following requests to / will return a 503\n")

    @routes.get("/behave")
    def behave() -> Response:
        state["misbehave"] = False
        return text("Following requests to / will return 200\n")

    return routes


def _time(status: int, body: str) -> str:
    """Read the answer of worldclockapi.com or worldtimeapi.org; ``""`` when it is none."""
    try:
        found = json.loads(body) if status == 200 else {}
    except ValueError:
        return ""
    return str(found.get("currentDateTime") or found.get("datetime") or "")
