"""Send: bring a request to an answer, with as many attempts as its route allows.

Here a DestinationRule and a VirtualService meet: the cluster chooses an endpoint for every try
(``trafficPolicy.loadBalancer``), the route says how long all of it and each try may take
(``timeout``, ``perTryTimeout``) and what is tried again (``retries``).
See it with ``meshctl explain REQUEST_ID``: each attempt, its endpoint and how it ended.

Source: Envoy ``source/common/router/router.cc`` (onUpstreamReset, onUpstreamHeaders, doRetry).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from mesh.sidecar.filters.routing import CompiledRoute
from mesh.sidecar.stream_info import StreamInfo
from mesh.sidecar.upstream import timeouts
from mesh.sidecar.upstream.attempt import attempt
from mesh.sidecar.upstream.balancers import Context
from mesh.sidecar.upstream.cluster import Cluster
from mesh.sidecar.upstream.hash_policy import HashPolicy, compile_hash_policy
from mesh.sidecar.upstream.host import Host
from mesh.sidecar.upstream.message import UpstreamRequest, UpstreamResponse
from mesh.sidecar.upstream.outlier_detection import Local
from mesh.sidecar.upstream.resets import UpstreamResetError
from mesh.sidecar.upstream.retries import (
    Outcome,
    Reset,
    RetryRules,
    RetryState,
    Verdict,
    compile_retries,
)

RESETS = {reset.value: reset for reset in Reset} | {
    "remote connection failure": Reset.CONNECT_FAILURE
}


class NoHealthyHostError(Exception):
    """The cluster has no endpoint to send to: 503 UH."""


class RequestTimeoutError(Exception):
    """The route's timeout, or the last try's, has passed: 504 UT; ``details`` says which."""

    def __init__(self, details: str) -> None:
        super().__init__(details)
        self.details = details


@dataclass(frozen=True, slots=True)
class Plan:
    """What a route says about sending, compiled once."""

    rules: RetryRules
    hashing: HashPolicy | None
    times: timeouts.Timeouts


def make_plan(route: CompiledRoute) -> Plan:
    """Compile the sending part of ``route``."""
    rules = compile_retries(route.retry_policy)
    hashing = compile_hash_policy(route.hash_policies) if route.hash_policies else None
    times = timeouts.decide(route.timeout, rules.per_try_timeout, rules.per_try_idle_timeout)
    return Plan(rules, hashing, times)


def out_of_play(host: Host) -> dict[str, str]:
    """Say why an endpoint was no candidate."""
    if host.ejected:
        because = f"ejected: {host.ejected_for}"
    elif host.check_failed:
        because = "its health checks fail"
    elif host.available:
        because = f"another priority ({host.priority}) or locality takes the request"
    else:
        because = f"the control plane says: {host.health}"
    return {"pod": host.pod, "address": host.key, "because": because}


@dataclass(slots=True)
class Sender:
    """Sends one request to ``cluster``; ``serialize(attempt, elapsed)`` makes its bytes.

    ``on_host`` is called when the first endpoint has been chosen.
    """

    cluster: Cluster
    route: CompiledRoute
    plan: Plan
    info: StreamInfo
    rng: Random
    clock: Callable[[], float]
    serialize: Callable[[int, float], UpstreamRequest]
    hash: int | None = None
    retried: bool = False
    host: Host | None = None
    on_host: Callable[[], None] | None = None

    async def run(self) -> UpstreamResponse:
        """Return the head of the answer (its body may still be streaming).

        Raises NoHealthyHostError, RequestTimeoutError or UpstreamResetError; flags that belong to the
        retries (URX, UO) are in the StreamInfo then.
        """
        times = self.plan.times
        if times.route is None:
            return await self._run()
        started = self.clock()
        timer = timeouts.RequestTimer(times.route, self.info.request_stream)
        try:
            async with asyncio.timeout(None) as scope:
                timer.attach(scope)
                try:
                    response = await self._run(started)
                finally:
                    timer.detach()
        except TimeoutError:
            self.timed_out()
            raise RequestTimeoutError(timeouts.DETAILS_GLOBAL) from None
        if response.stream is not None:
            self.info.response_timer = timer
            self.info.timed_out = self.timed_out
        return response

    def timed_out(self) -> None:
        """Count and explain that the route's timeout has passed."""
        self.cluster.counters["upstream_rq_timeout"] += 1
        self.info.explain("timeout", seconds=self.plan.times.route)
        if self.host is not None:
            self._report_timeout(self.host)

    async def _run(self, started: float = 0.0) -> UpstreamResponse:
        rules = self.plan.rules
        if not rules.tokens:
            return await self._try(self._choose(None), started)
        stream = self.info.request_stream
        if stream is not None:
            stream.keep()
        breaker = self.cluster.breakers.of(self.route.priority)
        state = RetryState[Host](rules, breaker.retries.admit, breaker.retries.release)
        counters = self.cluster.counters
        try:
            while True:
                host = self._choose(state)
                failure: UpstreamResetError | RequestTimeoutError | None = None
                response: UpstreamResponse | None = None
                try:
                    response = await self._try(host, started)
                    fields = {k.decode("latin-1"): v.decode("latin-1") for k, v in response.fields}
                    outcome = Outcome(response.status, fields)
                except UpstreamResetError as reset:
                    failure = reset
                    kind = RESETS.get(reset.reason, Reset.TERMINATION)
                    outcome = Outcome(reset=kind, request_started=reset.started)
                except RequestTimeoutError as error:
                    failure = error
                    outcome = Outcome(reset=Reset.PER_TRY_TIMEOUT)
                state.tried.append(host)
                verdict = state.should_retry(outcome)
                if verdict is Verdict.RETRY and stream is not None:
                    verdict = self._rewind(response, verdict)
                if verdict is not Verdict.RETRY:
                    self._note_verdict(verdict)
                    if failure is not None:
                        raise failure
                    assert response is not None
                    if self.retried and response.status < 500:
                        counters["upstream_rq_retry_success"] += 1
                    return response
                pause = state.back_off(self.rng)
                self._note_retry(response, pause)
                await asyncio.sleep(pause)
        finally:
            state.done()

    def _rewind(self, response: UpstreamResponse | None, verdict: Verdict) -> Verdict:
        """Make a streamed request ready to be sent again, if it was small enough to be kept."""
        stream = self.info.request_stream
        if stream.kept is None:
            self.info.explain("no further attempt", because="the body is too large to be kept")
            return Verdict.NO
        if response is not None:
            self.info.upstream_connection.abandon(self.info)
        stream.rewind()
        return verdict

    def _report_timeout(self, host: Host) -> None:
        self.cluster.host_counters[host.key]["rq_timeout"] += 1
        self.cluster.report_local(host, Local.TIMEOUT)

    def _note_verdict(self, verdict: Verdict) -> None:
        if verdict.flag:
            self.info.explain("no further attempt", because=verdict.value)
            self.info.flag(verdict.flag)
            name = "limit_exceeded" if verdict is Verdict.LIMIT else "overflow"
            self.cluster.counters[f"upstream_rq_retry_{name}"] += 1

    def _note_retry(self, response: UpstreamResponse | None, pause: float) -> None:
        self.retried = True
        self.info.explain("retry", after_ms=round(pause * 1000))
        self.cluster.counters["upstream_rq_retry"] += 1
        if response is not None and response.stream is not None:
            self.info.upstream_connection.abandon(self.info)

    def _choose(self, state: RetryState[Host] | None) -> Host:
        info = self.info
        if state is None:
            info.attempts, context = 1, Context(hash=self.hash)
        else:
            info.attempts = state.attempts
            avoid = state.avoid()
            context = Context(self.hash, avoid, self.plan.rules.host_attempts if avoid else 1)
        context.destination = info.connection.original
        host = self.cluster.choose(context)
        if context.out:
            info.explain("not in play", hosts=[out_of_play(each) for each in context.out])
        if host is None:
            self.cluster.counters["upstream_cx_none_healthy"] += 1
            info.explain("no endpoint", cluster=self.cluster.name, known=len(self.cluster.hosts))
            raise NoHealthyHostError
        self.host = host
        if self.on_host is not None:
            self.on_host()
            self.on_host = None
        info.upstream_host = host.key
        info.explain(
            "endpoint", attempt=info.attempts, address=host.key, pod=host.pod, why=context.why
        )
        return host

    async def _try(self, host: Host, started: float) -> UpstreamResponse:
        began, ejected = self.clock(), host.ejected
        try:
            response = await self._attempt(host, began - started if started else 0.0)
        except (UpstreamResetError, RequestTimeoutError) as failure:
            self._explain_outcome(host, ejected, began, reset=str(failure))
            raise
        self._explain_outcome(host, ejected, began, status=response.status)
        return response

    def _explain_outcome(self, host: Host, ejected: bool, began: float, **how: object) -> None:
        took = round((self.clock() - began) * 1000, 1)
        self.info.explain("outcome", attempt=self.info.attempts, **how, ms=took)
        if host.ejected and not ejected:
            self.info.explain("ejection", address=host.key, pod=host.pod, because=host.ejected_for)

    async def _attempt(self, host: Host, elapsed: float) -> UpstreamResponse:
        info = self.info
        request = self.serialize(info.attempts, elapsed if info.attempts > 1 else 0.0)
        per_try = self.plan.times.per_try
        priority = self.route.priority
        if per_try is None:
            response, connection = await attempt(self.cluster, host, request, info, priority)
        else:
            timer = timeouts.RequestTimer(per_try, info.request_stream)
            try:
                async with asyncio.timeout(None) as scope:
                    timer.attach(scope)
                    try:
                        response, connection = await attempt(
                            self.cluster, host, request, info, priority
                        )
                    finally:
                        timer.detach()
            except TimeoutError:
                self.cluster.counters["upstream_rq_per_try_timeout"] += 1
                self._report_timeout(host)
                raise RequestTimeoutError(timeouts.DETAILS_PER_TRY) from None
        info.upstream_connection = connection
        return response
