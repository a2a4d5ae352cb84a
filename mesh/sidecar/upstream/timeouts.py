"""Timeouts: how long a request may take in all, and how long one try.

In a VirtualService: ``timeout`` (the whole request with its retries and back-off; Istio writes
``0s``, none, where it is not set) and ``retries.perTryTimeout`` (each try, the first too).  A
per-try timeout that is not below the route's is ignored.  The clock starts when the request has
arrived in full.  The next hop is told what is left in ``x-envoy-expected-rq-timeout-ms``.
Answer: 504, flag UT, body ``upstream request timeout``.
See it with ``meshctl logs POD`` (``response_code_details``).

Source: Envoy, ``source/common/router/router.cc`` (``FilterUtility::finalTimeout``,
``setTimeoutHeaders``), "Timeouts".
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from mesh.sidecar.body import BodyStream
from mesh.sidecar.filters.head import RequestHead

EXPECTED = "x-envoy-expected-rq-timeout-ms"
GLOBAL = "x-envoy-upstream-rq-timeout-ms"
PER_TRY = "x-envoy-upstream-rq-per-try-timeout-ms"
ALTERNATIVE = "x-envoy-upstream-rq-timeout-alt-response"
BODY = b"upstream request timeout"
DETAILS_GLOBAL = "response_timeout"
DETAILS_PER_TRY = "upstream_per_try_timeout"


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Limits of one request in seconds; None means no limit."""

    route: float | None = None
    per_try: float | None = None
    per_try_idle: float | None = None

    def deadline(self, complete_at: float) -> float | None:
        """Time at which the request ends, given when it had arrived in full."""
        return None if self.route is None else complete_at + self.route

    def expected_ms(self, elapsed: float) -> int | None:
        """Milliseconds for ``x-envoy-expected-rq-timeout-ms`` of a try, or None: no header.

        ``elapsed`` seconds have gone since the request arrived; a retry has less left.
        """
        expected = self.per_try if self.per_try is not None else self.route
        if expected is None:
            return None
        if self.route is not None:
            left = self.route - elapsed
            if left <= 0:
                return 1  # 0 would mean: no limit
            expected = min(expected, left)
        return max(1, round(expected * 1000))


class RequestTimer:
    """``seconds`` from the moment at which the request has arrived in full.

    ``attach`` lets it bound a scope of ``asyncio.timeout``, also one that begins later.
    """

    def __init__(self, seconds: float, stream: BodyStream | None) -> None:
        self._seconds = seconds
        self._scope: asyncio.Timeout | None = None
        self._when: float | None = None
        if stream is None or stream.complete:
            self._begin()
        else:
            stream.on_end.append(self._begin)

    def _begin(self) -> None:
        self._when = asyncio.get_running_loop().time() + self._seconds
        if self._scope is not None:
            self._scope.reschedule(self._when)

    def attach(self, scope: asyncio.Timeout) -> None:
        """Bound ``scope``, which has just been entered."""
        self._scope = scope
        if self._when is not None:
            scope.reschedule(self._when)

    def detach(self) -> None:
        """Let go of the scope: it ends."""
        self._scope = None


def decide(
    route: float | None,
    per_try: float | None = None,
    per_try_idle: float | None = None,
    head: RequestHead | None = None,
) -> Timeouts:
    """Combine the route's timeout and its retry policy's.

    ``head`` is given only for a request of a trusted internal caller, whose
    ``x-envoy-upstream-rq-*`` headers override; an Istio sidecar trusts nobody.
    """
    if head is not None:
        asked = _milliseconds(head, GLOBAL)
        if asked is not None:
            route = asked or None
        asked = _milliseconds(head, PER_TRY)
        if asked is not None:
            per_try = asked or None
    if per_try is not None and route is not None and per_try >= route:
        per_try = None
    return Timeouts(route or None, per_try or None, per_try_idle or None)


def _milliseconds(head: RequestHead, name: str) -> float | None:
    text = head.get(name)
    return int(text) / 1000 if text and text.isascii() and text.isdigit() else None
