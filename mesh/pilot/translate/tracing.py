"""Tracing: which requests become spans, and where the sidecars send these.

Telemetry ``spec.tracing[]``: ``randomSamplingPercentage``, ``disableSpanReporting``, ``customTags``.
Without one the mesh's own setting counts (Istio's default is 1 percent, the kit's 100, so that a
single request can be looked at).  Envoy's Zipkin tracer reports in Zipkin's JSON and joins spans
by the headers ``x-b3-*`` and ``traceparent``.
Source: istio/istio ``pilot/pkg/networking/core/tracing.go``.  Shown by ``meshctl trace``.
"""

from __future__ import annotations

from datetime import timedelta

from envoy_data_plane.envoy.config.cluster.v3 import Cluster, ClusterDiscoveryType
from envoy_data_plane.envoy.config.core.v3 import Address, Pipe
from envoy_data_plane.envoy.config.endpoint.v3 import (
    ClusterLoadAssignment,
    Endpoint,
    LbEndpoint,
    LocalityLbEndpoints,
)
from envoy_data_plane.envoy.config.trace.v3 import (
    TracingHttp,
    ZipkinConfig,
    ZipkinConfigCollectorEndpointVersion,
    ZipkinConfigTraceContextOption,
)
from envoy_data_plane.envoy.extensions.filters.network.http_connection_manager.v3 import (
    HttpConnectionManager,
    HttpConnectionManagerTracing,
)
from envoy_data_plane.envoy.type.tracing.v3 import (
    CustomTag,
    CustomTagEnvironment,
    CustomTagHeader,
    CustomTagLiteral,
)
from envoy_data_plane.envoy.type.v3 import Percent

from mesh.istio.models import telemetry as models
from mesh.pilot.node import ProxyNode
from mesh.pilot.translate import messages, telemetry
from mesh.pilot.translate.view import MeshView

MIXER = "mixer"
"""Name of the cluster to which spans and policy checks go."""
ENDPOINT = "/api/v2/spans"


def cluster(view: MeshView) -> dict[str, Cluster]:
    """Return Mixer's cluster: its Unix socket; nothing where there is no Mixer."""
    if not view.mixer.socket:
        return {}
    endpoint = Endpoint(address=Address(pipe=Pipe(path=view.mixer.socket)))
    places = [LocalityLbEndpoints(lb_endpoints=[LbEndpoint(endpoint=endpoint)])]
    made = Cluster(
        name=MIXER,
        type=ClusterDiscoveryType.STATIC,
        connect_timeout=timedelta(seconds=1),
        load_assignment=ClusterLoadAssignment(cluster_name=MIXER, endpoints=places),
    )
    return {MIXER: made}


def apply(manager: HttpConnectionManager, view: MeshView, node: ProxyNode) -> None:
    """Turn tracing on; without a Mixer nobody would take the spans."""
    if not view.mixer.socket:
        return
    sampling, tags, reporting = view.mixer.sampling, dict[str, models.CustomTag](), True
    for spec in telemetry.in_force(view, node):
        for each in (spec.tracing or [])[:1]:
            if each.random_sampling_percentage is not None:
                sampling = each.random_sampling_percentage
            if each.disable_span_reporting is not None:
                reporting = not each.disable_span_reporting
            tags = each.custom_tags or tags
    config = ZipkinConfig(
        collector_cluster=MIXER,
        collector_endpoint=ENDPOINT,
        collector_endpoint_version=ZipkinConfigCollectorEndpointVersion.HTTP_JSON,
        trace_id_128bit=True,
        shared_span_context=False,
        trace_context_option=ZipkinConfigTraceContextOption.USE_B3_WITH_W3C_PROPAGATION,
    )
    provider = TracingHttp(name="envoy.tracers.zipkin", typed_config=messages.pack(config))
    manager.tracing = HttpConnectionManagerTracing(
        client_sampling=Percent(value=100.0),
        random_sampling=Percent(value=sampling if reporting else 0.0),
        overall_sampling=Percent(value=100.0),
        custom_tags=[_tag(name, tag) for name, tag in sorted(tags.items())],
        provider=provider,
    )


def _tag(name: str, tag: models.CustomTag) -> CustomTag:
    if tag.literal is not None:
        return CustomTag(tag=name, literal=CustomTagLiteral(value=tag.literal.value))
    if tag.header is not None:
        header = CustomTagHeader(name=tag.header.name, default_value=tag.header.default_value or "")
        return CustomTag(tag=name, request_header=header)
    if tag.environment is not None:
        variable = CustomTagEnvironment(
            name=tag.environment.name, default_value=tag.environment.default_value or ""
        )
        return CustomTag(tag=name, environment=variable)
    return CustomTag(tag=name, value=tag.formatter.value if tag.formatter else "")
