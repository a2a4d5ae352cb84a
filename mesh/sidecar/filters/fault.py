"""Fault injection: delay a share of the requests, abort a share of them.

In a VirtualService: ``fault.delay`` (``fixedDelay``, ``percentage``) and ``fault.abort``
(``httpStatus``, ``grpcStatus``, ``percentage``).  The delay comes first, then the abort is
drawn on its own, so p of delay and q of abort meet in p*q of the requests; without a percentage
nothing ever happens.  The fault is in the client's sidecar, before the router: the timeouts and
retries of the same route do not see it.  Answer: the status, body ``fault filter abort``, flags
DI and FI.
See it with ``meshctl logs POD`` and ``meshctl explain REQUEST``.

Source: Envoy, ``source/extensions/filters/http/fault/fault_filter.cc``, HTTPFault.
"""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass

from envoy_data_plane.envoy.extensions.filters.http.fault.v3 import HttpFault
from mitmproxy.http import HTTPFlow

from mesh.sidecar.filters import FilterContext
from mesh.sidecar.filters.head import RequestHead
from mesh.sidecar.filters.headers import change_response, values_for
from mesh.sidecar.filters.match import find_route, head_of
from mesh.sidecar.filters.matchers import HeadTest, draw, fraction_of, header_test
from mesh.sidecar.filters.route import CompiledRoute
from mesh.sidecar.filters.weighted_clusters import NO_CLUSTER, choose
from mesh.sidecar.local_reply import local_reply
from mesh.sidecar.stream_info import stream_info

ABORT_BODY = b"fault filter abort"
ABORT_DETAILS = "fault_filter_abort"
_DELAY, _DELAY_PERCENT = "x-envoy-fault-delay-request", "x-envoy-fault-delay-request-percentage"
_ABORT, _ABORT_PERCENT = "x-envoy-fault-abort-request", "x-envoy-fault-abort-request-percentage"
_ABORT_GRPC = "x-envoy-fault-abort-grpc-request"


@dataclass(frozen=True, slots=True)
class Fault:
    """A compiled HTTPFault.  ``delay`` in seconds, fractions as (numerator, denominator)."""

    delay: float = 0.0
    delay_fraction: tuple[int, int] = (0, 100)
    delay_by_header: bool = False
    abort_status: int = 0
    abort_grpc: int | None = None
    abort_fraction: tuple[int, int] = (0, 100)
    abort_by_header: bool = False
    upstream_cluster: str = ""
    headers: tuple[HeadTest, ...] = ()
    max_active: int | None = None
    downstream_nodes: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class FaultDecision:
    """What to do: wait ``delay`` seconds (0: not), then abort with ``abort`` (0: not).

    ``grpc_status`` is set for a gRPC abort, whose HTTP status is 200; a client that does not
    speak gRPC gets 200 and the body.  ``flags`` are those of the access log.  ``overflow``: too many faults are active, so none was injected.
    """

    delay: float = 0.0
    abort: int = 0
    grpc_status: int | None = None
    overflow: bool = False

    @property
    def flags(self) -> tuple[str, ...]:
        """Response flags: DI for the delay, FI for the abort."""
        return (("DI",) if self.delay else ()) + (("FI",) if self.abort else ())

    def __bool__(self) -> bool:
        return bool(self.delay or self.abort)


NOTHING = FaultDecision()


def compile_fault(config: HttpFault) -> Fault:
    """Compile ``config``; ValueError for an abort status outside 200 to 599."""
    delay, abort = config.delay, config.abort
    fixed = delay.fixed_delay.total_seconds() if delay and delay.fixed_delay else 0.0
    status = (abort.http_status or 0) if abort else 0
    if status and not 200 <= status < 600:
        raise ValueError(f"fault: abort status {status} is not within 200 to 599")
    return Fault(
        delay=fixed,
        delay_fraction=fraction_of(delay.percentage) if delay else (0, 100),
        delay_by_header=delay is not None and delay.header_delay is not None,
        abort_status=status,
        abort_grpc=abort.grpc_status if abort else None,
        abort_fraction=fraction_of(abort.percentage) if abort else (0, 100),
        abort_by_header=abort is not None and abort.header_abort is not None,
        upstream_cluster=config.upstream_cluster,
        headers=tuple(header_test(matcher) for matcher in config.headers),
        max_active=config.max_active_faults,
        downstream_nodes=frozenset(config.downstream_nodes),
    )


def decide(
    fault: Fault, head: RequestHead, rng: random.Random, cluster: str = "", active: int = 0
) -> FaultDecision:
    """Decide once per request, before the router.

    ``cluster`` is the route's single cluster (a fault can be limited to one), ``active`` the
    number of requests that a fault is holding now.
    """
    if fault.max_active is not None and active >= fault.max_active:
        return FaultDecision(overflow=True)
    if fault.upstream_cluster and fault.upstream_cluster != cluster:
        return NOTHING
    if fault.downstream_nodes:
        node = head.get("x-envoy-downstream-service-node")
        if node not in fault.downstream_nodes:
            return NOTHING
    if not all(test(head) for test in fault.headers):
        return NOTHING
    delay = _delay(fault, head, rng)
    status, grpc = _abort(fault, head, rng)
    if not delay and not status:
        return NOTHING
    return FaultDecision(delay, status, grpc)


def _delay(fault: Fault, head: RequestHead, rng: random.Random) -> float:
    fraction, value = fault.delay_fraction, fault.delay
    if fault.delay_by_header:
        fraction = _lowered(fraction, head.get(_DELAY_PERCENT))
        value = (_number(head.get(_DELAY)) or 0) / 1000
    return value if value and draw(fraction, rng) else 0.0


def _abort(fault: Fault, head: RequestHead, rng: random.Random) -> tuple[int, int | None]:
    fraction, status, grpc = fault.abort_fraction, fault.abort_status, fault.abort_grpc
    if fault.abort_by_header:
        fraction = _lowered(fraction, head.get(_ABORT_PERCENT))
        asked = _number(head.get(_ABORT))
        status = asked if asked is not None and 200 <= asked < 600 else 0
        grpc = None if status else _number(head.get(_ABORT_GRPC))
    if not status and grpc is None:
        return 0, None
    if not draw(fraction, rng):
        return 0, None
    return (status, None) if status else (200, grpc)


def _lowered(fraction: tuple[int, int], percent: str | None) -> tuple[int, int]:
    """A header may lower the configured percentage, never raise it."""
    asked = _number(percent)
    return fraction if asked is None else (min(asked, fraction[0]), fraction[1])


def _number(text: str | None) -> int | None:
    return int(text) if text and text.isascii() and text.isdigit() else None


class FaultFilter:
    """The filter ``envoy.filters.http.fault``; a route's own configuration replaces its."""

    def __init__(self, config: HttpFault, context: FilterContext, name: str) -> None:
        """Compile ``config``; ValueError for what Envoy refuses."""
        self._default = compile_fault(config)
        self._compiled: dict[CompiledRoute, Fault] = {}
        self._name = name
        self._rng = context.rng
        self._clusters = context.clusters
        self._stats = context.stats
        self._prefix = context.stat_prefix + "fault."
        self._active = 0

    def _fault(self, route: CompiledRoute | None) -> Fault:
        config = route.filter_config.get(self._name) if route is not None else None
        if route is None or config is None:
            return self._default
        fault = self._compiled.get(route)
        if fault is None:
            if len(self._compiled) > 1000:  # routes of tables that are gone
                self._compiled.clear()
            fault = self._compiled[route] = compile_fault(config)
        return fault

    async def request(self, flow: HTTPFlow) -> None:
        """Delay the request, abort it, both or neither."""
        info = stream_info(flow)
        route = find_route(flow, info, self._rng)
        fault = self._fault(route)
        cluster = route.cluster if route is not None else ""
        decision = decide(fault, head_of(flow, info), self._rng, cluster, self._active)
        if decision.overflow:
            self._stats.inc(self._prefix + "faults_overflow")
        if not decision:
            return
        info.explain("fault", delay=decision.delay, abort=decision.abort)
        self._active += 1
        try:
            if decision.delay:
                info.flag("DI")
                self._stats.inc(self._prefix + "delays_injected")
                await asyncio.sleep(decision.delay)
        finally:
            self._active -= 1
        if decision.abort:
            choice = NO_CLUSTER
            if route is not None:
                # The route was chosen before the filters ran: the log names its cluster, too.
                info.route_name = route.name
                choice = choose(route, self._rng)
                name = choice.cluster
                info.cluster = name if self._clusters.get(name) is not None else ""
            self._stats.inc(self._prefix + "aborts_injected")
            local_reply(
                flow,
                info,
                decision.abort,
                ABORT_BODY,
                ABORT_DETAILS,
                "FI",
                grpc_status=decision.grpc_status,
            )
            levels = route.response_levels(choice) if route is not None else ()
            if any(levels) and flow.response is not None:
                # An abort is an answer of the route: its headers are changed as any other's.
                head, values = head_of(flow, info), values_for(levels, info, flow.response)
                change_response(levels, flow.response, head, values)
