"""Router: the last filter; sends the request to an endpoint and brings the answer back.

Everything a VirtualService decides about a request ends here: the route that matches, the
weighted choice of a subset, the rewrite, then the cluster's choice of an endpoint, the
attempts within the timeout, and the local answers when there is nothing to send to.
See a request's decisions with ``meshctl explain REQUEST_ID``.

Source: Envoy ``source/common/router/router.cc`` (decodeHeaders, onUpstreamHeaders).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from mitmproxy.http import HTTPFlow

from mesh.sidecar.filters import FilterContext
from mesh.sidecar.filters import direct_response as direct
from mesh.sidecar.filters import mirror as mirrors
from mesh.sidecar.filters import redirect as redirects
from mesh.sidecar.filters import rewrite as rewrites
from mesh.sidecar.filters.headers import apply_to_request, change_response, values_for
from mesh.sidecar.filters.match import find_route, head_of
from mesh.sidecar.filters.routing import CompiledRoute, RequestHead
from mesh.sidecar.filters.weighted_clusters import NO_CLUSTER, ClusterChoice, choose
from mesh.sidecar.local_reply import REASONS, local_reply
from mesh.sidecar.mitm.flow import Fields, make_headers, make_response
from mesh.sidecar.stream_info import StreamInfo, stream_info
from mesh.sidecar.upstream.cluster import Cluster
from mesh.sidecar.upstream.hash_policy import Peer
from mesh.sidecar.upstream.message import UpstreamRequest, UpstreamResponse
from mesh.sidecar.upstream.open_tunnel import open_tunnel
from mesh.sidecar.upstream.resets import UpstreamResetError
from mesh.sidecar.upstream.retries import NO_RETRIES
from mesh.sidecar.upstream.send import (
    NoHealthyHostError,
    Plan,
    RequestTimeoutError,
    Sender,
    make_plan,
)
from mesh.sidecar.upstream.serialize import serialize
from mesh.sidecar.upstream.timeouts import Timeouts

RESET_PREFIX = b"upstream connect error or disconnect/reset before headers. "


def _encode(headers: list[tuple[str, str]]) -> Fields:
    return [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers]


def _always(request: UpstreamRequest) -> Callable[[int, float], UpstreamRequest]:
    return lambda _attempt, _elapsed: request


class Router:
    """The filter ``envoy.filters.http.router``."""

    def __init__(self, config: Any, context: FilterContext, name: str) -> None:
        del name
        self._envoy_headers = not config.suppress_envoy_headers
        self._clusters = context.clusters
        self._rng = context.rng
        self._clock = context.clock
        self._table: Any = None
        self._plans: dict[CompiledRoute, Plan] = {}
        self._shadows: set[asyncio.Task[None]] = set()

    async def request(self, flow: HTTPFlow) -> None:
        """Answer ``flow``: from an endpoint, or with Envoy's local reply."""
        info = stream_info(flow)
        route = find_route(flow, info, self._rng)
        head = head_of(flow, info)
        if route is None:
            why = info.route_table.why_not(head) if info.route_table is not None else "no routes"
            info.explain("no route", why=why)
            local_reply(flow, info, 404, b"", "route_not_found", "NR")
            return
        info.route_name = route.name
        if route.redirect is not None:
            answer = redirects.decide(route.redirect, head)
            location = [(b"location", answer.location.encode("latin-1"))]
            info.explain("redirect", status=answer.status, location=answer.location)
            local_reply(flow, info, answer.status, b"", "direct_response", "", location)
            self._mutate_response(flow, info, route, NO_CLUSTER, head)
        elif route.direct_response is not None:
            reply = direct.decide(route.direct_response, head)
            info.explain("direct response", status=reply.status)
            place = [(b"location", reply.location.encode("latin-1"))] if reply.location else None
            local_reply(flow, info, reply.status, reply.body, "direct_response", "", place)
            self._mutate_response(flow, info, route, NO_CLUSTER, head)
        else:
            await self._forward(flow, info, head, route)

    async def _forward(
        self, flow: HTTPFlow, info: StreamInfo, head: RequestHead, route: CompiledRoute
    ) -> None:
        choice = choose(route, self._rng)
        if route.weighted is not None:
            info.explain(
                "cluster",
                cluster=choice.cluster,
                draw=choice.draw,
                weight=choice.weight,
                total=choice.total,
            )
        name = choice.cluster or head.get(route.cluster_header) or ""
        cluster = self._clusters.get(name)
        if cluster is None:
            info.explain("cluster", cluster=name, why="no such cluster is in force")
            status = route.cluster_not_found_status
            local_reply(flow, info, status, b"", "cluster_not_found", "NC")
            self._mutate_response(flow, info, route, choice, head)
            return
        info.cluster = name
        upgrade = info.upgrade.decode("latin-1").lower()
        if upgrade and not route.upgrades.get(upgrade, info.upgrade_allowed):
            local_reply(flow, info, 403, b"", "upgrade_failed")
            self._mutate_response(flow, info, route, choice, head)
            return
        if upgrade == "connect" and route.ends_connect:
            await self._tunnel(flow, info, cluster)
            return
        plan = self._plan(info, route)
        sender = Sender(
            cluster,
            route,
            plan,
            info,
            self._rng,
            self._clock,
            lambda attempt, elapsed: serialize(
                flow, info, route, plan, attempt, elapsed, self._envoy_headers
            ),
        )
        if plan.hashing is not None:
            hashed = plan.hashing.generate(
                head,
                Peer(
                    info.downstream_remote_address.rpartition(":")[0],
                    info.downstream_remote_address,
                    "",
                ),
            )
            sender.hash, info.set_cookies = hashed.value, hashed.set_cookies
            info.explain("hash", value=hashed.value)
        if info.span is not None:
            data = flow.request.data
            data.headers = make_headers(info.span.inject(list(data.headers.fields)))
            info.head = None
            head = head_of(flow, info)
        self._finalize_request(flow, info, head, route, choice)
        if info.limits is not None:
            if route.idle_timeout is not None:
                info.limits.limit_idle(route.idle_timeout)
            if route.max_stream_duration is not None:
                info.limits.limit_duration(route.max_stream_duration)
        if route.mirrors:  # not without an endpoint for the request itself
            sender.on_host = lambda: self._mirror_when_complete(flow, info, route, plan)
        response = await self._send(flow, info, sender)
        if response is not None:
            self._take_response(flow, info, response)
        if route.include_attempt_count_in_response and flow.response is not None:
            flow.response.headers["x-envoy-attempt-count"] = str(info.attempts)
        self._count(cluster, flow)
        self._mutate_response(flow, info, route, choice, head)

    def _plan(self, info: StreamInfo, route: CompiledRoute) -> Plan:
        if info.route_table is not self._table:
            self._table, self._plans = info.route_table, {}
        plan = self._plans.get(route)
        if plan is None:
            plan = self._plans[route] = make_plan(route)
        return plan

    def _finalize_request(
        self,
        flow: HTTPFlow,
        info: StreamInfo,
        head: RequestHead,
        route: CompiledRoute,
        choice: ClusterChoice,
    ) -> None:
        """Write the changes of the route into the request, in Envoy's order."""
        before = head.headers
        levels = route.request_levels(choice)
        if any(levels):
            apply_to_request(levels, head, values_for(levels, info))
        data = flow.request.data
        if route.rewrite or choice.host_rewrite:
            changed = rewrites.decide(route.rewrite, head, choice.host_rewrite)
            if changed.original_path is not None:
                kept = [item for item in head.headers if item[0] != "x-envoy-original-path"]
                head.headers = [*kept, ("x-envoy-original-path", changed.original_path)]
                data.path = changed.path.encode("latin-1")
            if changed.original_authority is not None:
                kept = [item for item in head.headers if item[0] != "x-envoy-original-host"]
                head.headers = [*kept, ("x-envoy-original-host", changed.original_authority)]
                if route.rewrite.append_forwarded_host:
                    added = ("x-forwarded-host", changed.original_authority)
                    head.headers = [*head.headers, added]
                data.authority = changed.authority.encode("latin-1")
        if head.headers is not before:
            data.headers = make_headers(_encode(head.headers))
            info.head = None

    async def _send(
        self, flow: HTTPFlow, info: StreamInfo, sender: Sender
    ) -> UpstreamResponse | None:
        try:
            return await sender.run()
        except (NoHealthyHostError, RequestTimeoutError, UpstreamResetError) as error:
            self._say_why(flow, info, error, sender.retried)
        return None

    async def _tunnel(self, flow: HTTPFlow, info: StreamInfo, cluster: Cluster) -> None:
        """End a CONNECT: open the upstream end, then say 200; the codec passes the bytes."""
        peer = flow.client_conn.peername
        try:
            upstream = await open_tunnel(self._clusters, cluster, info, (peer[0], peer[1]))
        except (NoHealthyHostError, UpstreamResetError) as error:
            self._say_why(flow, info, error, retried=False)
        else:
            info.upstream_connection, info.tunnelled = upstream, True
            info.details = "via_upstream"
            flow.response = make_response(200, b"OK", [], b"")
        self._count(cluster, flow)

    def _say_why(self, flow: HTTPFlow, info: StreamInfo, error: Exception, retried: bool) -> None:
        """Answer a request that got no answer."""
        if isinstance(error, NoHealthyHostError):
            local_reply(flow, info, 503, b"no healthy upstream", "no_healthy_upstream", "UH")
        elif isinstance(error, RequestTimeoutError):
            local_reply(flow, info, 504, b"upstream request timeout", error.details, "UT")
        elif isinstance(error, UpstreamResetError):
            status = 502 if error.flag == "UPE" else 503
            info.upstream_transport_failure_reason = error.transport
            reason = error.reason.replace(" ", "_")
            if error.transport:
                reason += f"|{error.transport}"
            details = f"upstream_reset_before_response_started{{{reason}}}"
            words = b"retried and the latest reset reason: " if retried else b"reset reason: "
            body = RESET_PREFIX + words + error.reason.encode()
            extra = [(b"x-envoy-overloaded", b"true")] if error.flag == "UO" else None
            local_reply(flow, info, status, body, details, error.flag, extra)

    def _mirror_when_complete(
        self, flow: HTTPFlow, info: StreamInfo, route: CompiledRoute, plan: Plan
    ) -> None:
        """Mirror a request once all of it is there; one that is too large to be kept is not."""
        stream = info.request_stream
        if stream is None:
            self._mirror(flow, info, route, plan, flow.request.data.content or b"")
            return

        def complete() -> None:
            body = stream.kept
            if body is not None and not stream.failed:
                self._mirror(flow, info, route, plan, body)

        stream.keep()
        stream.on_end.append(complete)

    def _mirror(
        self, flow: HTTPFlow, info: StreamInfo, route: CompiledRoute, plan: Plan, body: bytes
    ) -> None:
        """Send copies and forget them: no retries, the answers are thrown away."""
        data = flow.request.data
        authority = data.authority.decode("latin-1")
        times = (
            plan.times
        )  # a copy knows no tries: it says per_try only where nothing else limits it
        told = replace(plan, times=replace(times, per_try=None) if times.route else times)
        headers = dict(head_of(flow, info).headers)
        for shadow in mirrors.decide(route.mirrors, authority, self._rng, headers):
            cluster = self._clusters.get(shadow.cluster)
            info.explain("mirror", cluster=shadow.cluster, sent=cluster is not None)
            if cluster is None:
                continue
            copy = StreamInfo(info.start, info.started)
            copy.request_chunked = info.request_chunked
            request = serialize(flow, copy, route, told, 1, 0.0, self._envoy_headers, body)
            request.authority = shadow.authority.encode("latin-1")
            request.fields = mirrors.forwarded(request.fields)
            if info.span is not None:
                request.fields = info.span.shadow(request.fields, shadow.trace_sampled, self._rng)
            single = Plan(NO_RETRIES, None, Timeouts(times.route))
            sender = Sender(cluster, route, single, copy, self._rng, self._clock, _always(request))
            task = asyncio.get_running_loop().create_task(self._send_shadow(sender))
            self._shadows.add(task)
            task.add_done_callback(self._shadows.discard)

    async def _send_shadow(self, sender: Sender) -> None:
        try:
            response = await sender.run()
            sender.cluster.counters["upstream_rq_completed"] += 1
            sender.cluster.counters[f"upstream_rq_{response.status}"] += 1
            sender.cluster.counters[f"upstream_rq_{response.status // 100}xx"] += 1
            if response.stream is not None:
                async for _ in response.stream:
                    pass
        except (NoHealthyHostError, RequestTimeoutError, UpstreamResetError):
            pass

    def _take_response(self, flow: HTTPFlow, info: StreamInfo, response: UpstreamResponse) -> None:
        fields = response.fields
        stream = info.request_stream
        whole = not info.upgrade and (stream is None or stream.complete)
        if self._envoy_headers and whole:  # the time counts from the end of the request
            fields = [item for item in fields if item[0] != b"x-envoy-upstream-service-time"]
            took = int((self._clock() - info.started) * 1000)
            fields.append((b"x-envoy-upstream-service-time", b"%d" % took))
        for cookie in info.set_cookies:
            fields.append((b"set-cookie", cookie.encode("latin-1")))
        info.details = "via_upstream"
        reason = REASONS.get(response.status, b"Unknown")
        body = None if response.stream is not None else response.body
        flow.response = make_response(response.status, reason, fields, body)
        if response.trailers:
            flow.response.data.trailers = make_headers(response.trailers)
        info.response_stream = response.stream
        info.headers_only = response.headers_only

    def _mutate_response(
        self,
        flow: HTTPFlow,
        info: StreamInfo,
        route: CompiledRoute,
        choice: ClusterChoice,
        head: RequestHead,
    ) -> None:
        levels = route.response_levels(choice)
        if any(levels) and flow.response is not None:
            change_response(levels, flow.response, head, values_for(levels, info, flow.response))

    def _count(self, cluster: Cluster, flow: HTTPFlow) -> None:
        response = flow.response
        assert response is not None
        status = response.data.status_code
        counters = cluster.counters
        counters["upstream_rq_completed"] += 1
        counters[f"upstream_rq_{status}"] += 1
        counters[f"upstream_rq_{status // 100}xx"] += 1
