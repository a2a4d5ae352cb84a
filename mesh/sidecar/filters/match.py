"""The view of a request that filters share, and its route, found once."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING, cast

from mitmproxy.http import HTTPFlow

from mesh.sidecar.filters.routing import CompiledRoute, RequestHead
from mesh.sidecar.stream_info import StreamInfo

if TYPE_CHECKING:
    from mesh.sidecar.filters import FilterContext


def head_of(flow: HTTPFlow, info: StreamInfo) -> RequestHead:
    """Return the view of the request on which decisions are taken.

    It is made once; when an addon has changed the request since, it is made again.
    """
    data = flow.request.data
    made = info.head
    if (
        made is not None
        and made[0] is data.headers.fields
        and made[1]
        == (
            data.path,
            data.authority,
            data.method,
        )
    ):
        return cast(RequestHead, made[2])
    head = RequestHead(
        data.method.decode("latin-1"),
        data.scheme.decode("latin-1"),
        data.authority.decode("latin-1"),
        data.path.decode("latin-1"),
        [
            (name.decode("latin-1").lower(), value.decode("latin-1"))
            for name, value in data.headers.fields
        ],
    )
    info.head = (data.headers.fields, (data.path, data.authority, data.method), head)
    info.route = None
    return head


def find_route(flow: HTTPFlow, info: StreamInfo, rng: Random) -> CompiledRoute | None:
    """Return the route of the request, or None; the same one for every filter."""
    head = head_of(flow, info)
    if info.route is None and info.route_table is not None:
        route = info.route = info.route_table.match(head, rng)
        # Kept beside what was asked: ``info.route`` is forgotten when a filter changes a header.
        info.asked = info.head[0], info.head[1], flow.request.data.scheme, route
        if route is not None:
            info.explain("route", virtual_host=route.virtual_host, matched=route.matched)
    return cast("CompiledRoute | None", info.route)


def note_route(flow: HTTPFlow, info: StreamInfo, context: FilterContext) -> None:
    """Note route and cluster for the log of a request that a filter refuses.

    Envoy finds the route before the first filter, so they stand in its log too.
    """
    route = find_route(flow, info, context.rng)
    if route is None:
        return
    info.route_name = route.name
    if route.cluster and context.clusters.get(route.cluster) is not None:
        info.cluster = route.cluster
