"""CORS: which browser pages of other origins may read the answers.

In a VirtualService: ``corsPolicy`` with ``allowOrigins``, ``allowMethods``, ``allowHeaders``,
``exposeHeaders``, ``maxAge``, ``allowCredentials``, ``unmatchedPreflights``.  A preflight
(OPTIONS with ``origin`` and ``access-control-request-method``) of an allowed origin is answered
by the sidecar; any other request goes on, and only the answer's headers tell the browser.
CORS protects no service: a client that is no browser ignores it.
See it with ``curl -i -X OPTIONS -H 'origin: ...' -H 'access-control-request-method: GET'``.

Source: Envoy, ``source/extensions/filters/http/cors/cors_filter.cc``, CorsPolicy.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

from envoy_data_plane.envoy.extensions.filters.http.cors.v3 import CorsPolicy
from mitmproxy.http import HTTPFlow

from mesh.sidecar.filters import FilterContext
from mesh.sidecar.filters.head import RequestHead
from mesh.sidecar.filters.match import find_route, head_of
from mesh.sidecar.filters.matchers import StringTest, draw, runtime_fraction, string_test
from mesh.sidecar.filters.route import Action, CompiledRoute
from mesh.sidecar.filters.weighted_clusters import choose
from mesh.sidecar.local_reply import local_reply
from mesh.sidecar.stream_info import stream_info

DETAILS = "cors_response"


@dataclass(frozen=True, slots=True)
class Cors:
    """Compiled policy.  ``enabled`` and ``shadow`` are fractions of the requests."""

    origins: tuple[StringTest, ...] = ()
    methods: str = ""
    headers: str = ""
    expose: str = ""
    max_age: str = ""
    credentials: bool = False
    private_network: bool = False
    forward_unmatched: bool = True
    enabled: tuple[int, int] = (100, 100)
    shadow: tuple[int, int] = (0, 100)

    def allows(self, origin: str) -> bool:
        """Whether ``origin`` may read the answers."""
        return any(test("*") or test(origin) for test in self.origins)


@dataclass(frozen=True, slots=True)
class CorsDecision:
    """What the filter does with a request.

    ``preflight`` are the headers of the sidecar's own answer (200, no body), or None: go on.
    ``origin`` is the allowed origin, for the answer's headers; ``valid`` is None when the
    request is no CORS request (it counts neither ``origin_valid`` nor ``origin_invalid``).
    """

    preflight: tuple[tuple[str, str], ...] | None = None
    origin: str = ""
    valid: bool | None = None


PASS = CorsDecision()


def compile_cors(policies: Sequence[CorsPolicy]) -> Cors:
    """Merge policies, the most specific first: each field is that of the first that sets it."""
    if not policies:
        return Cors(enabled=(0, 100))
    origins = next(
        (p.allow_origin_string_match for p in policies if p.allow_origin_string_match), []
    )
    first = policies[0]
    forward = _first([p.forward_not_matching_preflights for p in policies])
    return Cors(
        origins=tuple(string_test(matcher) for matcher in origins),
        methods=next((p.allow_methods for p in policies if p.allow_methods), ""),
        headers=next((p.allow_headers for p in policies if p.allow_headers), ""),
        expose=next((p.expose_headers for p in policies if p.expose_headers), ""),
        max_age=next((p.max_age for p in policies if p.max_age), ""),
        credentials=bool(_first([p.allow_credentials for p in policies])),
        private_network=bool(_first([p.allow_private_network_access for p in policies])),
        forward_unmatched=True if forward is None else forward,
        enabled=runtime_fraction(first.filter_enabled),
        shadow=runtime_fraction(first.shadow_enabled) if first.shadow_enabled else (0, 100),
    )


def _first(values: list[bool | None]) -> bool | None:
    return next((value for value in values if value is not None), None)


def decide(cors: Cors, head: RequestHead, rng: random.Random) -> CorsDecision:
    """Look at a request; see CorsDecision."""
    enabled = draw(cors.enabled, rng)
    if not enabled and not draw(cors.shadow, rng):
        return PASS
    origin = head.get("origin")
    if not origin:
        return PASS
    allowed = cors.allows(origin)
    if not enabled:
        return CorsDecision(valid=allowed)
    asked_method = head.get("access-control-request-method")
    passed = CorsDecision(origin=origin if allowed else "", valid=allowed)
    if head.method != "OPTIONS" or not asked_method:
        return passed
    if not allowed and cors.forward_unmatched:
        return passed
    answer: list[tuple[str, str]] = []
    if allowed:
        answer.append(("access-control-allow-origin", origin))
    if cors.credentials:
        answer.append(("access-control-allow-credentials", "true"))
    if cors.methods:
        methods = asked_method if cors.methods == "*" else cors.methods
        answer.append(("access-control-allow-methods", methods))
    if cors.headers:
        asked_headers = head.get("access-control-request-headers") or ""
        headers = asked_headers if cors.headers == "*" else cors.headers
        answer.append(("access-control-allow-headers", headers))
    if cors.max_age:
        answer.append(("access-control-max-age", cors.max_age))
    if cors.private_network and head.get("access-control-request-private-network") == "true":
        answer.append(("access-control-allow-private-network", "true"))
    if allowed and cors.expose:
        # The answer passes the response half of the filter too.
        answer.append(("access-control-expose-headers", cors.expose))
    return CorsDecision(tuple(answer), passed.origin, allowed)


def response_headers(cors: Cors, origin: str) -> list[tuple[str, str]]:
    """Headers that overwrite those of an answer to the allowed ``origin`` (empty: none)."""
    if not origin:
        return []
    headers = [("access-control-allow-origin", origin)]
    if cors.credentials:
        headers.append(("access-control-allow-credentials", "true"))
    if cors.expose:
        headers.append(("access-control-expose-headers", cors.expose))
    return headers


class CorsFilter:
    """The filter ``envoy.filters.http.cors``; its policies are on routes and virtual hosts."""

    def __init__(self, _config: object, context: FilterContext, name: str) -> None:
        self._compiled: dict[CompiledRoute, Cors] = {}
        self._name = name
        self._rng = context.rng
        self._clusters = context.clusters
        self._prefix = context.stat_prefix + "cors."
        self._stats = context.stats

    def _policy(self, route: CompiledRoute) -> Cors | None:
        config = route.filter_config.get(self._name)
        if config is None or route.action != Action.CLUSTER:
            return None  # an answer of the sidecar itself has no CORS policy
        policy = self._compiled.get(route)
        if policy is None:
            if len(self._compiled) > 1000:  # routes of tables that are gone
                self._compiled.clear()
            policy = self._compiled[route] = compile_cors([config])
        return policy

    def request(self, flow: HTTPFlow) -> None:
        """Answer a preflight; remember the origin for the answer's headers."""
        info = stream_info(flow)
        route = find_route(flow, info, self._rng)
        policy = self._policy(route) if route is not None else None
        if route is None or policy is None:
            return
        decision = decide(policy, head_of(flow, info), self._rng)
        if decision.valid is not None:
            name = "origin_valid" if decision.valid else "origin_invalid"
            self._stats.inc(self._prefix + name)
        if decision.origin:
            flow.metadata[DETAILS] = (policy, decision.origin)
        if decision.preflight is not None:
            info.route_name = route.name
            name = choose(route, self._rng).cluster
            info.cluster = name if self._clusters.get(name) is not None else ""
            extra = [(k.encode("latin-1"), v.encode("latin-1")) for k, v in decision.preflight]
            local_reply(flow, info, 200, b"", DETAILS, "", extra)

    def response(self, flow: HTTPFlow) -> None:
        """Tell the browser that the page may read the answer."""
        found = flow.metadata.get(DETAILS)
        if found is not None and flow.response is not None:
            for name, value in response_headers(*found):
                flow.response.headers[name] = value
