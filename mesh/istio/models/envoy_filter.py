"""EnvoyFilter: patches of the Envoy configuration that the control plane generated.

The last resort: it reaches everything Envoy can do (local rate limits above all) and breaks with
the next release.
Fields: istio/api ``networking/v1alpha3/envoy_filter.proto``.
Shown by ``meshctl proxy-config listener POD -o json``.
"""

from __future__ import annotations

from typing import Any, Literal

from mesh.istio.models.base import (
    Int32,
    Model,
    StringMap,
    Struct,
    TargetRef,
    UInt32,
    WorkloadSelector,
    known_until,
)


class ProxyMatch(Model):
    """Which proxies."""

    proxy_version: str | None = None
    metadata: StringMap | None = None


class ClusterMatch(Model):
    """Which cluster."""

    port_number: UInt32 | None = None
    service: str | None = None
    subset: str | None = None
    name: str | None = None


class NamedMatch(Model):
    """Something found by its name."""

    name: str | None = None


class FilterMatch(Model):
    """Which network filter, and which HTTP filter in it."""

    name: str | None = None
    sub_filter: NamedMatch | None = None


class FilterChainMatch(Model):
    """Which filter chain of a listener."""

    name: str | None = None
    sni: str | None = None
    transport_protocol: str | None = None
    transport_socket: str | None = None
    application_protocols: str | None = None
    filter: FilterMatch | None = None
    destination_port: UInt32 | None = None


class ListenerMatch(Model):
    """Which listener."""

    port_number: UInt32 | None = None
    port_name: str | None = None
    filter_chain: FilterChainMatch | None = None
    listener_filter: str | None = None
    name: str | None = None


class RouteMatch(Model):
    """Which route of a virtual host."""

    name: str | None = None
    action: Literal["ANY", "ROUTE", "REDIRECT", "DIRECT_RESPONSE"] | None = None


class VirtualHostMatch(Model):
    """Which virtual host."""

    name: str | None = None
    domain_name: str | None = None
    route: RouteMatch | None = None


class RouteConfigurationMatch(Model):
    """Which route configuration."""

    port_number: UInt32 | None = None
    port_name: str | None = None
    gateway: str | None = None
    vhost: VirtualHostMatch | None = None
    name: str | None = None


class WaypointMatch(Model):
    """Which part of a waypoint."""

    port_number: UInt32 | None = None
    filter: FilterMatch | None = None
    route: NamedMatch | None = None


class ConfigObjectMatch(Model):
    """Where the patch applies."""

    context: Literal["ANY", "SIDECAR_INBOUND", "SIDECAR_OUTBOUND", "GATEWAY", "WAYPOINT"] | None = (
        None
    )
    proxy: ProxyMatch | None = None
    listener: ListenerMatch | None = None
    route_configuration: RouteConfigurationMatch | None = None
    cluster: ClusterMatch | None = None
    waypoint: WaypointMatch | None = None


class Patch(Model):
    """What is done, with which piece of Envoy configuration."""

    operation: (
        Literal[
            "INVALID",
            "MERGE",
            "ADD",
            "REMOVE",
            "INSERT_BEFORE",
            "INSERT_AFTER",
            "INSERT_FIRST",
            "REPLACE",
            "MERGE_AND_REPLACE_LIST",
        ]
        | None
    ) = None
    value: Struct | None = None
    filter_class: Literal["UNSPECIFIED", "AUTHN", "AUTHZ", "STATS"] | None = None


class ConfigPatch(Model):
    """One patch."""

    apply_to: (
        Literal[
            "INVALID",
            "LISTENER",
            "FILTER_CHAIN",
            "NETWORK_FILTER",
            "HTTP_FILTER",
            "ROUTE_CONFIGURATION",
            "VIRTUAL_HOST",
            "HTTP_ROUTE",
            "CLUSTER",
            "EXTENSION_CONFIG",
            "BOOTSTRAP",
            "LISTENER_FILTER",
        ]
        | None
    ) = None
    match: ConfigObjectMatch | None = None
    patch: Patch | None = None


class EnvoyFilter(Model):
    """``spec`` of an EnvoyFilter; ``filters`` and ``workloadLabels`` are its form before 1.3."""

    workload_selector: WorkloadSelector | None = None
    target_refs: list[TargetRef] | None = None
    config_patches: list[ConfigPatch] | None = None
    priority: Int32 | None = None
    workload_labels: StringMap | None = known_until((1, 4))
    filters: list[Any] | None = known_until((1, 4))
