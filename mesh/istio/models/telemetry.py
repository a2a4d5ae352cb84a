"""Telemetry: which metrics, traces and access logs the sidecars write.

Fields: istio/api ``telemetry/v1alpha1/telemetry.proto``.
Shown by ``meshctl describe pod POD``.
"""

from __future__ import annotations

from typing import Literal

from mesh.istio.models.base import Duration, LabelSelector, Model, TargetRef

Mode = Literal["CLIENT_AND_SERVER", "CLIENT", "SERVER"]
Metric = Literal[
    "ALL_METRICS",
    "REQUEST_COUNT",
    "REQUEST_DURATION",
    "REQUEST_SIZE",
    "RESPONSE_SIZE",
    "TCP_OPENED_CONNECTIONS",
    "TCP_CLOSED_CONNECTIONS",
    "TCP_SENT_BYTES",
    "TCP_RECEIVED_BYTES",
    "GRPC_REQUEST_MESSAGES",
    "GRPC_RESPONSE_MESSAGES",
]


class ProviderRef(Model):
    """A provider of the mesh's configuration."""

    name: str


class ModeMatch(Model):
    """The side of a request that is meant."""

    mode: Mode | None = None


class LiteralTag(Model):
    """A constant."""

    value: str


class EnvironmentTag(Model):
    """An environment variable of the proxy."""

    name: str
    default_value: str | None = None


class HeaderTag(Model):
    """A header of the request."""

    name: str
    default_value: str | None = None


class FormatterTag(Model):
    """Envoy's format string."""

    value: str


class CustomTag(Model):
    """A tag of every span; one of the four."""

    literal: LiteralTag | None = None
    environment: EnvironmentTag | None = None
    header: HeaderTag | None = None
    formatter: FormatterTag | None = None


class Tracing(Model):
    """Spans: share of the requests in percent, and their tags."""

    match: ModeMatch | None = None
    providers: list[ProviderRef] | None = None
    random_sampling_percentage: float | None = None
    disable_span_reporting: bool | None = None
    disable_context_propagation: bool | None = None
    custom_tags: dict[str, CustomTag] | None = None
    enable_istio_tags: bool | None = None
    use_request_id_for_trace_sampling: bool | None = None


class MetricSelector(Model):
    """Which metric."""

    metric: Metric | None = None
    custom_metric: str | None = None
    mode: Mode | None = None


class TagOverride(Model):
    """Set or remove one label of a metric."""

    operation: Literal["UPSERT", "REMOVE"] | None = None
    value: str | None = None


class MetricsOverrides(Model):
    """Change or turn off a metric."""

    match: MetricSelector | None = None
    disabled: bool | None = None
    tag_overrides: dict[str, TagOverride] | None = None


class Metrics(Model):
    """Metrics of one provider."""

    providers: list[ProviderRef] | None = None
    overrides: list[MetricsOverrides] | None = None
    reporting_interval: Duration | None = None


class Filter(Model):
    """A CEL expression: which requests are logged."""

    expression: str | None = None


class AccessLogging(Model):
    """The access log of one provider."""

    match: ModeMatch | None = None
    providers: list[ProviderRef] | None = None
    disabled: bool | None = None
    filter: Filter | None = None


class Telemetry(Model):
    """``spec`` of a Telemetry."""

    selector: LabelSelector | None = None
    target_ref: TargetRef | None = None
    target_refs: list[TargetRef] | None = None
    tracing: list[Tracing] | None = None
    metrics: list[Metrics] | None = None
    access_logging: list[AccessLogging] | None = None
