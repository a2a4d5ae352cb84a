"""Local rate limit: a token bucket in the sidecar; a request without a token is answered 429.

In a real mesh an EnvoyFilter inserts it (``envoy.filters.http.local_ratelimit``; Istio, "Enabling
Rate Limits using Envoy"): no field of another resource does.  The bucket holds ``max_tokens``, each
request takes one, and ``tokens_per_fill`` come back every ``fill_interval``, evenly spread over it.
It counts in this sidecar only: two pods let twice as much through.  A virtual host or a route may
have a bucket of its own, which then stands for the listener's.  Answer: 429, body
``local_rate_limited``, flag RL.
See it with ``meshctl logs POD`` and ``meshctl explain REQUEST``.

Source: Envoy ``source/extensions/filters/http/local_ratelimit/local_ratelimit.cc``,
``source/common/common/token_bucket_impl.cc`` (AtomicTokenBucketImpl).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from envoy_data_plane.envoy.extensions.filters.http.local_ratelimit.v3 import LocalRateLimit
from mitmproxy.http import HTTPFlow

from mesh.sidecar.filters import FilterContext
from mesh.sidecar.filters.headers import (
    HeaderMutations,
    change_response,
    compile_mutations,
    values_for,
)
from mesh.sidecar.filters.match import find_route, head_of, note_route
from mesh.sidecar.filters.matchers import draw, fraction_of
from mesh.sidecar.filters.route import CompiledRoute
from mesh.sidecar.filters.weighted_clusters import NO_CLUSTER
from mesh.sidecar.local_reply import local_reply
from mesh.sidecar.stream_info import stream_info

BODY = b"local_rate_limited"
DETAILS = "local_rate_limited"
FLAG = "RL"
RESOURCE_EXHAUSTED = 8
SHORTEST_FILL = 0.05
_UNSUPPORTED = (
    "descriptors",
    "rate_limits",
    "request_headers_to_add_when_not_enforced",
    "local_rate_limit_per_downstream_connection",
    "local_cluster_rate_limit",
    "enable_x_ratelimit_headers",
)


class TokenBucket:
    """Tokens that come back evenly: ``rate`` a second, never more than ``size``.

    A full bucket has its tokens as a whole number: one that were worked out from the time since it
    was empty could be a rounding error short, and a bucket of one would refuse its first request.
    """

    def __init__(self, size: int, rate: float, clock: Callable[[], float]) -> None:
        self._size, self._rate, self._clock = size, rate, clock
        self._tokens: float = size
        self._since = clock()

    def take(self) -> bool:
        """Take one token; False when there is none."""
        now = self._clock()
        tokens = min(self._size, self._tokens + (now - self._since) * self._rate)
        if tokens < 1:
            return False
        self._tokens, self._since = tokens - 1, now
        return True


@dataclass(slots=True)
class Limit:
    """A compiled LocalRateLimit; fractions are (numerator, denominator), no bucket: no limit."""

    bucket: TokenBucket | None
    stat_prefix: str
    status: int
    enabled: tuple[int, int]
    enforced: tuple[int, int]
    response_headers: HeaderMutations
    grpc_status: int | None


def compile_limit(config: LocalRateLimit, clock: Callable[[], float], *, route: bool) -> Limit:
    """Compile ``config``; ValueError for what Envoy refuses, and for what cannot be executed."""
    for field in _UNSUPPORTED:
        if getattr(config, field):
            raise ValueError(f"local_ratelimit: {field} cannot be executed")
    if not config.stat_prefix:
        raise ValueError("local_ratelimit: stat_prefix is missing")
    made = config.token_bucket
    bucket = None
    if made is not None:
        interval = made.fill_interval.total_seconds() if made.fill_interval else 0.0
        if interval < SHORTEST_FILL:
            raise ValueError("local rate limit token bucket fill timer must be >= 50ms")
        fill = 1 if made.tokens_per_fill is None else made.tokens_per_fill
        if made.max_tokens < 1 or fill < 1:
            raise ValueError("local_ratelimit: max_tokens and tokens_per_fill start at 1")
        bucket = TokenBucket(made.max_tokens, fill / interval, clock)
    elif route:
        raise ValueError("local rate limit token bucket must be set for per filter configs")
    status = int(config.status.code) if config.status is not None else 0
    return Limit(
        bucket=bucket,
        stat_prefix=f"{config.stat_prefix}.http_local_rate_limit.",
        status=status if status >= 400 else 429,
        enabled=fraction_of(config.filter_enabled.default_value)
        if config.filter_enabled is not None
        else (0, 100),
        enforced=fraction_of(config.filter_enforced.default_value)
        if config.filter_enforced is not None
        else (0, 100),
        response_headers=compile_mutations(config.response_headers_to_add, (), "local_ratelimit"),
        grpc_status=RESOURCE_EXHAUSTED if config.rate_limited_as_resource_exhausted else None,
    )


class LocalRateLimitFilter:
    """The filter ``envoy.filters.http.local_ratelimit``."""

    def __init__(self, config: LocalRateLimit, context: FilterContext, name: str) -> None:
        """Compile ``config``; ValueError for what cannot be executed."""
        self._context, self._name = context, name
        self._own = compile_limit(config, context.clock, route=False)
        self._of_configs: dict[int, tuple[LocalRateLimit, Limit]] = {}

    def _limit(self, route: CompiledRoute | None) -> Limit:
        """Return the limit of a route; the routes of one virtual host share its bucket."""
        config = route.filter_config.get(self._name) if route is not None else None
        if config is None:
            return self._own
        known = self._of_configs.get(id(config))
        if known is None:
            if len(self._of_configs) > 1000:  # routes of tables that are gone
                self._of_configs.clear()
            known = config, compile_limit(config, self._context.clock, route=True)
            self._of_configs[id(config)] = known
        return known[1]

    def request(self, flow: HTTPFlow) -> None:
        """Take a token; answer the request when there is none."""
        info, rng, stats = stream_info(flow), self._context.rng, self._context.stats
        route = find_route(flow, info, rng)
        limit = self._limit(route)
        if not draw(limit.enabled, rng):
            return
        stats.inc(limit.stat_prefix + "enabled")
        allowed = limit.bucket is None or limit.bucket.take()
        info.explain("local rate limit", allowed=allowed)
        if allowed:
            stats.inc(limit.stat_prefix + "ok")
            return
        stats.inc(limit.stat_prefix + "rate_limited")
        if not draw(limit.enforced, rng):
            return
        stats.inc(limit.stat_prefix + "enforced")
        note_route(flow, info, self._context)
        local_reply(flow, info, limit.status, BODY, DETAILS, FLAG, grpc_status=limit.grpc_status)
        levels = route.response_levels(NO_CLUSTER) if route is not None else ()
        if limit.response_headers:
            levels = (limit.response_headers, *levels)
        if levels and flow.response is not None:
            values = values_for(levels, info, flow.response)
            change_response(levels, flow.response, head_of(flow, info), values)
