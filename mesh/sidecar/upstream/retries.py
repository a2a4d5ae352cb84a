"""Retries: whether a failed try is repeated, when, and at which host.

In a VirtualService: ``retries`` with ``attempts`` (extra tries), ``retryOn``, ``perTryTimeout``,
``backoff``; without it the mesh's default policy applies.  A retry stays in the cluster that the
weights drew, avoids hosts that failed already (``previous_hosts``), and waits for a random time
that grows.  ``connect-failure`` does not cover a per-try timeout: that is a reset, which needs
``5xx``, ``gateway-error`` or ``reset``.  Never repeated: an overflow of the circuit breaker, a
route timeout, an answer whose headers went to the client.  Exhausted: the last answer, flag URX.
See it with ``meshctl logs POD`` (``upstream_request_attempt_count``).

Source: Envoy, ``source/common/router/retry_state_impl.cc``, ``common/backoff_strategy.cc``.
"""

from __future__ import annotations

import enum
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from envoy_data_plane.envoy.config.route.v3 import RetryPolicy

from mesh.sidecar.filters.head import RequestHead
from mesh.sidecar.filters.matchers import HeadTest, header_test

PREVIOUS_HOSTS = "envoy.retry_host_predicates.previous_hosts"
GRPC_CODES = {
    "cancelled": 1,
    "deadline-exceeded": 4,
    "resource-exhausted": 8,
    "internal": 13,
    "unavailable": 14,
}
TOKENS = frozenset(
    {
        "5xx",
        "gateway-error",
        "reset",
        "reset-before-request",
        "connect-failure",
        "envoy-ratelimited",
        "retriable-4xx",
        "refused-stream",
        "retriable-status-codes",
        "retriable-headers",
        "http3-post-connect-failure",
        *GRPC_CODES,
    }
)


class Reset(enum.Enum):
    """How a try ended without an answer."""

    CONNECT_FAILURE = "connection failure"
    CONNECT_TIMEOUT = "connection timeout"
    TERMINATION = "connection termination"
    REMOTE_RESET = "remote reset"
    REFUSED_STREAM = "remote refused stream reset"
    PER_TRY_TIMEOUT = "per try timeout"
    PROTOCOL_ERROR = "protocol error"
    OVERFLOW = "overflow"


@dataclass(frozen=True, slots=True)
class Outcome:
    """End of one try: an answer (``status`` and lower-case ``headers``) or a ``reset``.

    ``request_started`` tells whether any byte of the request had gone upstream.
    """

    status: int = 0
    headers: Mapping[str, str] = field(default_factory=dict)
    reset: Reset | None = None
    request_started: bool = True


class Verdict(enum.Enum):
    """What follows from an outcome."""

    NO = "not retriable"
    RETRY = "retry"
    LIMIT = "retry limit exceeded"
    OVERFLOW = "retry overflow"

    @property
    def flag(self) -> str:
        """Response flag that the final answer gets: URX, UO or none."""
        return {"LIMIT": "URX", "OVERFLOW": "UO"}.get(self.name, "")


@dataclass(frozen=True, slots=True)
class RetryRules:
    """A compiled RetryPolicy; times in seconds, None: no limit."""

    tokens: frozenset[str] = frozenset()
    num_retries: int = 0
    status_codes: frozenset[int] = frozenset()
    response_headers: tuple[HeadTest, ...] = ()
    request_headers: tuple[HeadTest, ...] = ()
    per_try_timeout: float | None = None
    per_try_idle_timeout: float | None = None
    base_interval: float = 0.025
    max_interval: float = 0.25
    previous_hosts: bool = False
    host_attempts: int = 1

    def for_request(self, head: RequestHead, trusted: bool = False) -> RetryRules:
        """Return the rules for one request.

        ``retriable_request_headers`` can switch retries off; the ``x-envoy-*`` headers of a
        ``trusted`` internal caller add conditions and set the number.
        """
        rules = self
        if trusted:
            rules = _with_headers(self, head)
        if rules.request_headers and not any(test(head) for test in rules.request_headers):
            rules = replace(rules, tokens=frozenset())
        return rules

    def wants(self, outcome: Outcome) -> bool:
        """Whether the conditions cover ``outcome``, whatever the number and the budget say."""
        if not self.tokens:
            return False
        if outcome.reset is not None:
            return self._wants_reset(outcome.reset, outcome.request_started)
        return self._wants_response(outcome.status, outcome.headers)

    def _wants_reset(self, reset: Reset, started: bool) -> bool:
        tokens = self.tokens
        if reset is Reset.OVERFLOW:
            return False
        if "connect-failure" in tokens and reset in (
            Reset.CONNECT_FAILURE,
            Reset.CONNECT_TIMEOUT,
        ):
            return True
        if "reset-before-request" in tokens and not started:
            return True
        if tokens & {"reset", "5xx", "gateway-error"}:
            return True
        return "refused-stream" in tokens and reset is Reset.REFUSED_STREAM

    def _wants_response(self, status: int, headers: Mapping[str, str]) -> bool:
        tokens = self.tokens
        if "x-envoy-ratelimited" in headers:
            return "envoy-ratelimited" in tokens
        if "5xx" in tokens and 500 <= status < 600:
            return True
        if "gateway-error" in tokens and status in (502, 503, 504):
            return True
        if "retriable-4xx" in tokens and status == 409:
            return True
        if "retriable-status-codes" in tokens and status in self.status_codes:
            return True
        if "retriable-headers" in tokens and self.response_headers:
            answer = RequestHead("", "", "", "", list(headers.items()))
            if any(test(answer) for test in self.response_headers):
                return True
        grpc = headers.get("grpc-status", "")
        return any(grpc == str(code) for name, code in GRPC_CODES.items() if name in tokens)


NO_RETRIES = RetryRules()


def compile_retries(policy: RetryPolicy | None) -> RetryRules:
    """Compile ``policy``; unknown tokens are ignored, as Envoy does.

    ValueError for a maximal back-off below the base.
    """
    if policy is None:
        return NO_RETRIES
    base, most = 0.025, 0.25
    if policy.retry_back_off is not None and policy.retry_back_off.base_interval is not None:
        # Envoy counts whole milliseconds, at least one.
        base = max(0.001, int(policy.retry_back_off.base_interval.total_seconds() * 1000) / 1000)
        most = 10 * base
        if policy.retry_back_off.max_interval is not None:
            most = max(0.001, policy.retry_back_off.max_interval.total_seconds())
        if most < base:
            raise ValueError("retry_back_off: max_interval must not be below base_interval")
    tokens = frozenset(token.strip() for token in policy.retry_on.split(",")) & TOKENS
    per_try, idle = policy.per_try_timeout, policy.per_try_idle_timeout
    return RetryRules(
        tokens=tokens,
        num_retries=1 if policy.num_retries is None else policy.num_retries,
        status_codes=frozenset(policy.retriable_status_codes),
        response_headers=tuple(header_test(matcher) for matcher in policy.retriable_headers),
        request_headers=tuple(header_test(matcher) for matcher in policy.retriable_request_headers),
        per_try_timeout=(per_try.total_seconds() or None) if per_try else None,
        per_try_idle_timeout=(idle.total_seconds() or None) if idle else None,
        base_interval=base,
        max_interval=most,
        previous_hosts=any(item.name == PREVIOUS_HOSTS for item in policy.retry_host_predicate),
        host_attempts=max(1, policy.host_selection_retry_max_attempts),
    )


def _with_headers(rules: RetryRules, head: RequestHead) -> RetryRules:
    tokens = set(rules.tokens)
    for name in ("x-envoy-retry-on", "x-envoy-retry-grpc-on"):
        tokens |= {token.strip() for token in (head.get(name) or "").split(",")} & TOKENS
    number = rules.num_retries
    asked = head.get("x-envoy-max-retries") or ""
    if asked.isascii() and asked.isdigit():
        number = int(asked)
    elif not rules.tokens and tokens:
        number = 1
    codes = {
        int(code)
        for code in (head.get("x-envoy-retriable-status-codes") or "").split(",")
        if code.strip().isdigit()
    }
    return replace(
        rules,
        tokens=frozenset(tokens),
        num_retries=number,
        status_codes=rules.status_codes | codes,
    )


class RetryState[HostT]:
    """State of one request's retries.

    ``admit`` takes a place among the cluster's concurrent retries and returns whether there was
    one, ``release`` gives it back: the ``retries`` resource of the circuit breaker.
    """

    __slots__ = ("_admit", "_held", "_interval", "_release", "_rules", "attempts", "tried")

    def __init__(
        self, rules: RetryRules, admit: Callable[[], bool], release: Callable[[], None]
    ) -> None:
        self._rules = rules
        self._admit = admit
        self._release = release
        self._held = False
        self._interval = rules.base_interval
        self.attempts = 1
        self.tried: list[HostT] = []

    def should_retry(self, outcome: Outcome) -> Verdict:
        """Decide after a try; RETRY counts the next attempt and holds a place for it."""
        wanted = self._rules.wants(outcome)
        self.done()
        if not wanted:
            return Verdict.NO
        if self.attempts > self._rules.num_retries:
            return Verdict.LIMIT
        self.attempts += 1
        if not self._admit():
            return Verdict.OVERFLOW
        self._held = True
        return Verdict.RETRY

    def done(self) -> None:
        """Give the place back: the try that held it has ended, or the request has."""
        if self._held:
            self._held = False
            self._release()

    def back_off(self, rng: random.Random) -> float:
        """Seconds to wait before the next try: uniform in [0, interval), whole milliseconds.

        The interval doubles each time, from the base to the maximum: 25, 50, 100, 200, 250 ms.
        """
        interval = self._interval
        most = self._rules.max_interval
        self._interval = interval * 2 if interval < most / 2 else most
        return rng.randrange(max(1, round(interval * 1000))) / 1000

    def avoid(self) -> list[HostT]:
        """Hosts that the next try should not take; empty without ``previous_hosts``."""
        return self.tried if self._rules.previous_hosts else []
