"""CompiledRoute: one route of the table, ready for use: its match, its action, what it inherits.

In a VirtualService one ``http`` entry: ``match`` decides whether it is taken, ``route``,
``redirect`` or ``directResponse`` what happens then; timeouts, retries, mirrors, faults, CORS
and header operations hang on it.  The virtual host and the route configuration add theirs.
See it with ``meshctl proxy-config routes POD -o json``.

Source: Envoy, ``source/common/router/config_impl.cc`` (``RouteEntryImplBase``),
``api/envoy/config/route/v3/route_components.proto``.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import envoy_data_plane.envoy.extensions.filters.http.cors.v3
import envoy_data_plane.envoy.extensions.filters.http.fault.v3  # noqa: F401  registers the types
from envoy_data_plane.envoy.config.core.v3 import Metadata
from envoy_data_plane.envoy.config.route.v3 import (
    RetryPolicy,
    Route,
    RouteAction,
    RouteActionHashPolicy,
    RouteConfiguration,
    VirtualHost,
)

from mesh.sidecar.filters.direct_response import (
    MAX_BODY,
    DirectResponse,
    compile_direct_response,
)
from mesh.sidecar.filters.headers import HeaderMutations, compile_mutations
from mesh.sidecar.filters.mirror import Mirror, compile_mirror
from mesh.sidecar.filters.redirect import Redirect, compile_redirect
from mesh.sidecar.filters.rewrite import Rewrite, compile_rewrite
from mesh.sidecar.filters.route_match import Condition, RouteTest, compile_match
from mesh.sidecar.filters.weighted_clusters import (
    NO_CLUSTER,
    ClusterChoice,
    WeightedClusters,
    compile_weighted,
)

DEFAULT_TIMEOUT = 15.0
"""Seconds of a route without ``timeout``: Envoy's default; Istio always writes ``0s``."""


class Action:
    """What a route does."""

    CLUSTER = "cluster"
    REDIRECT = "redirect"
    DIRECT_RESPONSE = "direct_response"


@dataclass(slots=True, eq=False)
class CompiledRoute:
    """One route.  Times are in seconds; None means: no limit.

    ``matched`` explains the match in words.  ``request_headers`` and ``response_headers`` are
    levels in the order in which they run (the drawn cluster's own come before them).  ``filter_config`` maps a filter's name to its unpacked
    message, the most specific level first.
    """

    name: str
    virtual_host: str
    matched: str
    path_kind: str
    path_value: str
    test: RouteTest
    conditions: tuple[Condition, ...] = ()
    single: ClusterChoice = NO_CLUSTER
    cluster_header: str = ""
    weighted: WeightedClusters | None = None
    redirect: Redirect | None = None
    direct_response: DirectResponse | None = None
    cluster_not_found_status: int = 503
    timeout: float | None = None
    idle_timeout: float | None = None
    max_stream_duration: float | None = None
    retry_policy: RetryPolicy | None = None
    mirrors: tuple[Mirror, ...] = ()
    hash_policies: tuple[RouteActionHashPolicy, ...] = ()
    rewrite: Rewrite = field(default_factory=Rewrite)
    request_headers: tuple[HeaderMutations, ...] = ()
    response_headers: tuple[HeaderMutations, ...] = ()
    filter_config: dict[str, Any] = field(default_factory=dict)
    include_request_attempt_count: bool = False
    include_attempt_count_in_response: bool = False
    upgrades: dict[str, bool] = field(default_factory=dict)
    ends_connect: bool = False
    priority: int = 0
    metadata: Metadata | None = None

    @property
    def cluster(self) -> str:
        """The single cluster's name; empty for weighted clusters and answers of the sidecar."""
        return self.single.cluster

    @property
    def action(self) -> str:
        """``cluster``, ``redirect`` or ``direct_response``."""
        if self.redirect is not None:
            return Action.REDIRECT
        return Action.CLUSTER if self.direct_response is None else Action.DIRECT_RESPONSE

    def request_levels(self, choice: ClusterChoice) -> tuple[HeaderMutations, ...]:
        """Levels of request header operations for ``choice``, in the order in which they run."""
        return self._levels(choice.request_headers, self.request_headers)

    def response_levels(self, choice: ClusterChoice) -> tuple[HeaderMutations, ...]:
        """Levels of response header operations for ``choice``, in the order in which they run."""
        return self._levels(choice.response_headers, self.response_headers)

    def _levels(
        self, own: HeaderMutations, levels: tuple[HeaderMutations, ...]
    ) -> tuple[HeaderMutations, ...]:
        if not own:
            return levels
        return (own, *levels)


@dataclass(frozen=True, slots=True)
class Inherited:
    """What the routes of one virtual host take from it and from the route configuration."""

    virtual_host: VirtualHost
    request_headers: tuple[HeaderMutations, HeaderMutations]
    response_headers: tuple[HeaderMutations, HeaderMutations]
    filter_config: dict[str, Any]
    mirrors: tuple[Mirror, ...]
    specific_wins: bool
    max_body: int

    @classmethod
    def of(cls, config: RouteConfiguration, host: VirtualHost) -> Inherited:
        """Compile the two outer levels once for all routes of ``host``."""
        where = f"virtual host {host.name!r}"
        return cls(
            virtual_host=host,
            request_headers=(
                compile_mutations(
                    host.request_headers_to_add, host.request_headers_to_remove, where
                ),
                compile_mutations(
                    config.request_headers_to_add, config.request_headers_to_remove, config.name
                ),
            ),
            response_headers=(
                compile_mutations(
                    host.response_headers_to_add, host.response_headers_to_remove, where
                ),
                compile_mutations(
                    config.response_headers_to_add, config.response_headers_to_remove, config.name
                ),
            ),
            filter_config=(
                _unpack(config.typed_per_filter_config, config.name)
                | _unpack(host.typed_per_filter_config, where)
            ),
            mirrors=tuple(
                compile_mirror(policy)
                for policy in host.request_mirror_policies or config.request_mirror_policies
            ),
            specific_wins=config.most_specific_header_mutations_wins,
            max_body=(
                MAX_BODY
                if config.max_direct_response_body_size_bytes is None
                else config.max_direct_response_body_size_bytes
            ),
        )


def seconds(duration: timedelta | None) -> float | None:
    """Seconds of a duration; None for an absent one and for 0, which switches a limit off."""
    if duration is None:
        return None
    return duration.total_seconds() or None


def compile_route(route: Route, number: int, inherited: Inherited) -> CompiledRoute:
    """Compile ``route``, the ``number``-th (from 0) of its virtual host; ValueError if invalid."""
    host = inherited.virtual_host
    where = f"virtual host {host.name!r}, route {route.name or number!r}"
    if route.match is None:
        raise ValueError(f"{where}: the route has no match")
    try:
        match = compile_match(route.match)
    except ValueError as problem:
        raise ValueError(f"{where}: {problem}") from None
    own_request = compile_mutations(
        route.request_headers_to_add, route.request_headers_to_remove, where
    )
    own_response = compile_mutations(
        route.response_headers_to_add, route.response_headers_to_remove, where
    )
    compiled = CompiledRoute(
        name=route.name,
        virtual_host=host.name,
        matched=f"virtual host {host.name}, route {number}"
        + (f" ({route.name})" if route.name else "")
        + f": {match.text}",
        path_kind=match.kind,
        path_value=match.value,
        test=match.test,
        conditions=match.conditions,
        request_headers=_ordered(own_request, inherited.request_headers, inherited.specific_wins),
        response_headers=_ordered(
            own_response, inherited.response_headers, inherited.specific_wins
        ),
        filter_config=inherited.filter_config | _unpack(route.typed_per_filter_config, where),
        include_request_attempt_count=host.include_request_attempt_count,
        include_attempt_count_in_response=host.include_attempt_count_in_response,
        metadata=route.metadata,
    )
    if route.route is not None:
        _compile_action(compiled, route.route, match.prefix, inherited, where)
    elif route.redirect is not None:
        compiled.redirect = compile_redirect(route.redirect, match.prefix, where)
    elif route.direct_response is not None:
        compiled.direct_response = compile_direct_response(
            route.direct_response, where, inherited.max_body
        )
    else:
        raise ValueError(f"{where}: a route needs route, redirect or direct_response")
    return compiled


def _compile_action(
    compiled: CompiledRoute,
    action: RouteAction,
    prefix: str | None,
    inherited: Inherited,
    where: str,
) -> None:
    if action.weighted_clusters is not None:
        compiled.weighted = compile_weighted(action.weighted_clusters, where)
    elif action.cluster:
        compiled.single = ClusterChoice(action.cluster)
    elif action.cluster_header:
        compiled.cluster_header = action.cluster_header.lower()
    else:
        raise ValueError(f"{where}: the route names no cluster")
    compiled.cluster_not_found_status = {0: 503, 1: 404, 2: 500}[
        int(action.cluster_not_found_response_code)
    ]
    compiled.timeout = DEFAULT_TIMEOUT if action.timeout is None else seconds(action.timeout)
    compiled.idle_timeout = seconds(action.idle_timeout)
    if action.max_stream_duration is not None:
        compiled.max_stream_duration = seconds(action.max_stream_duration.max_stream_duration)
    compiled.retry_policy = action.retry_policy or inherited.virtual_host.retry_policy
    compiled.mirrors = (
        tuple(compile_mirror(policy) for policy in action.request_mirror_policies)
        or inherited.mirrors
    )
    compiled.hash_policies = tuple(action.hash_policy)
    compiled.rewrite = compile_rewrite(action, prefix, where)
    compiled.upgrades = {
        upgrade.upgrade_type.lower(): upgrade.enabled is not False
        for upgrade in action.upgrade_configs
    }
    compiled.ends_connect = any(item.connect_config is not None for item in action.upgrade_configs)
    compiled.priority = int(action.priority)


def _ordered(
    own: HeaderMutations, outer: tuple[HeaderMutations, HeaderMutations], specific_wins: bool
) -> tuple[HeaderMutations, ...]:
    levels = (own, *outer)
    return tuple(level for level in (reversed(levels) if specific_wins else levels) if level)


def _unpack(configs: dict[str, Any], where: str) -> dict[str, Any]:
    unpacked = {}
    for name, packed in configs.items():
        try:
            unpacked[name] = packed.unpack()
        except TypeError as problem:
            raise ValueError(f"{where}: configuration of filter {name!r}: {problem}") from None
    return unpacked
