"""A crowd of requests that nobody answers: how many are let in, how many wait, how many are refused.

The service asked is a scripted one (``services.scripted``): each request asks to be held until the
grader releases it.  Requests come one after another, and each is with the service, waiting or refused
before the next one comes, so a circuit breaker is counted exactly and no time is measured.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as NotYet
from typing import Any

from grader.collect import Lab

URL = "http://recommendation:8080/"
WAITING = (
    r"cluster\.outbound\|8080\|[^|]*\|recommendation\..*\.upstream_(rq_pending_active|cx_active)$"
)
MOST = 14
"""So many requests at most are held at a time."""


def until(done: Callable[[], bool], request: Future[Any], seconds: float) -> bool:
    """Whether ``done`` came true before ``request`` was answered and ``seconds`` were over."""
    for _ in range(int(seconds / 0.05)):
        if done():
            return True
        try:
            request.result(timeout=0.05)
        except NotYet:
            continue
        return False
    return False


def crowd_of(lab: Lab, gate: str, count: int) -> dict[str, int]:
    """Send up to ``count`` requests of preference to recommendation that are held; what became of each.

    The answer has the counts ``served``, ``waiting``, ``refused`` (503), ``answered`` (anything else, by
    somebody who did not hold it) and ``other`` (nothing is known).  ``gate`` names the hold.  Ends early after two that were refused, unless all are asked for (``count`` < ``MOST``).
    """
    pods = [pod.name for pod in lab.testbed.pods() if pod.service == "recommendation"]
    found = Counter({"served": 0, "waiting": 0, "refused": 0, "answered": 0, "other": 0})
    script = json.dumps([{"hold": f"{gate}-{lab.nonce}"}])

    def ask(request_id: str) -> int:
        headers = {"x-script": script, "x-request-id": request_id}
        return lab.testbed.request(URL, from_pod="preference", headers=headers).status

    def arrived(request_id: str) -> bool:
        return any(
            line.get("request_id") == request_id
            for pod in pods
            for line in lab.testbed.journal(pod)
        )

    def waits() -> bool:
        """Whether one more waits, and no connection is being made that it could wait for."""
        numbers = {"pending_active": 0, "cx_active": 0}
        for name, value in lab.testbed.stats("preference", WAITING).items():
            numbers["cx_active" if name.endswith("cx_active") else "pending_active"] += value
        return (
            numbers["pending_active"] > found["waiting"]
            and 0 < numbers["cx_active"] <= found["served"]
        )

    with ThreadPoolExecutor(count) as threads:
        try:
            for number in range(count):
                request_id = f"{gate}-{lab.nonce}-{number}"
                request = threads.submit(ask, request_id)
                seen: list[str] = []

                def settled(mine: str = request_id, seen: list[str] = seen) -> bool:
                    seen[:] = ["served"] if arrived(mine) else ["waiting"] if waits() else []
                    return bool(seen)

                if until(settled, request, 20):
                    found[seen[0]] += 1
                else:
                    status = request.result() if request.done() else 0
                    found["refused" if status == 503 else "answered" if status else "other"] += 1
                if count == MOST and found["refused"] == 2:
                    break
        finally:
            for pod in pods:
                lab.testbed.tell(pod, f"/release/{gate}-{lab.nonce}")
    return dict(found)
