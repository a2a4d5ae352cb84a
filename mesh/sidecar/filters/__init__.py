"""The HTTP filters: one class a feature, made from its xDS configuration, in Envoy's order.

A filter is a mitmproxy addon: ``request(flow)`` sees a request on its way to the router and may
answer it by setting ``flow.response``, ``response(flow)`` sees the answer on its way back; both
may be asynchronous.  The listener names its filters and their order; a type that is not here is
refused with its name, never ignored: a policy that is silently missing is the worst outcome.

Order in Istio: authorization CUSTOM, JWT, authorization DENY and ALLOW, fault, CORS, router.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import TYPE_CHECKING, Any

from envoy_data_plane.envoy.extensions.filters.network.http_connection_manager.v3 import HttpFilter

from mesh.sidecar.errors import ConfigRefusedError
from mesh.sidecar.explain import Explanations
from mesh.sidecar.stats import Stats

if TYPE_CHECKING:
    from mesh.sidecar.upstream.cluster_manager import ClusterManager
    from mesh.sidecar.zipkin import Reporter

ROUTER = "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"
FAULT = "type.googleapis.com/envoy.extensions.filters.http.fault.v3.HTTPFault"
HEADER_TO_METADATA = (
    "type.googleapis.com/envoy.extensions.filters.http.header_to_metadata.v3.Config"
)
JWT_AUTHN = "type.googleapis.com/envoy.extensions.filters.http.jwt_authn.v3.JwtAuthentication"
RBAC = "type.googleapis.com/envoy.extensions.filters.http.rbac.v3.RBAC"
EXT_AUTHZ = "type.googleapis.com/envoy.extensions.filters.http.ext_authz.v3.ExtAuthz"
LOCAL_RATE_LIMIT = (
    "type.googleapis.com/envoy.extensions.filters.http.local_ratelimit.v3.LocalRateLimit"
)
CORS = "type.googleapis.com/envoy.extensions.filters.http.cors.v3.Cors"


@dataclass(frozen=True, slots=True)
class FilterContext:
    """What a filter may need of its sidecar.

    ``clock`` is monotonic, in seconds; ``stat_prefix`` begins the names of the listener's
    counters (``http.NAME.``); ``spans`` takes finished spans (None:
    nobody); ``explanations`` remembers why requests went where they went.
    """

    clusters: ClusterManager
    stats: Stats
    rng: Random
    clock: Callable[[], float]
    stat_prefix: str = "http."
    explanations: Explanations = field(default_factory=Explanations)
    spans: Reporter | None = None


FilterFactory = Callable[[Any, FilterContext, str], Any]
"""(typed configuration, context, the filter's name in the listener) -> filter."""


def default_filters() -> dict[str, FilterFactory]:
    """Return the factories by type URL, in the order in which Istio puts the filters."""
    from mesh.sidecar.filters.cors import CorsFilter
    from mesh.sidecar.filters.ext_authz import ExtAuthzFilter
    from mesh.sidecar.filters.fault import FaultFilter
    from mesh.sidecar.filters.header_to_metadata import HeaderToMetadata
    from mesh.sidecar.filters.jwt_authn import JwtAuthn
    from mesh.sidecar.filters.local_ratelimit import LocalRateLimitFilter
    from mesh.sidecar.filters.rbac import RbacFilter
    from mesh.sidecar.filters.router import Router

    return {
        HEADER_TO_METADATA: HeaderToMetadata,
        JWT_AUTHN: JwtAuthn,
        RBAC: RbacFilter,
        EXT_AUTHZ: ExtAuthzFilter,
        LOCAL_RATE_LIMIT: LocalRateLimitFilter,
        FAULT: FaultFilter,
        CORS: CorsFilter,
        ROUTER: Router,
    }


def make_filters(configs: Sequence[HttpFilter], context: FilterContext) -> list[Any]:
    """Make the filters of one listener.

    Raises ConfigRefusedError when a type is unknown or the router is not the last filter.
    """
    from mesh.sidecar.xds import unpack

    factories = default_filters()
    made: list[Any] = []
    for config in configs:
        if config.disabled:
            continue
        where = f"http filter {config.name!r}"
        url = config.typed_config.type_url if config.typed_config is not None else ""
        factory = factories.get(url)
        if factory is None:
            if config.is_optional:
                continue
            raise ConfigRefusedError(f"{where}: this sidecar has no filter of type {url!r}")
        message = unpack(config.typed_config, where)
        try:
            made.append(factory(message, context, config.name))
        except ValueError as error:
            raise ConfigRefusedError(f"{where}: {error}") from None
    active = [item for item in configs if not item.disabled]
    if not active or active[-1].typed_config is None or active[-1].typed_config.type_url != ROUTER:
        raise ConfigRefusedError("http filters: the last one has to be the router")
    return made
