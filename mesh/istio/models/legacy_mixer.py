"""Mixer: rule, instance, handler, and quotas, until Istio 1.7.

Sidecars sent attributes to Mixer; a rule whose ``match`` holds builds instances from them and
hands these to handlers (adapters): denier, listchecker, memquota, prometheus.  Each adapter and
template had a kind of its own first (``kind: memquota``), later ``handler`` and ``instance``.
Fields: istio/api 1.4.0 ``policy/v1beta1``, ``mixer/v1/config/client/quota.proto`` and
istio/istio 1.4.0 ``mixer/adapter/*/config``.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import ConfigDict

from mesh.istio.models.base import Duration, Model, StringMap, StringMatch, Struct


class MixerParams(Model):
    """Parameters of an adapter or template that the kit does not look into."""

    model_config = ConfigDict(extra="allow")


class Action(Model):
    """Build these instances and hand them to this handler."""

    handler: str | None = None
    instances: list[str] | None = None
    name: str | None = None


class HeaderOperationTemplate(Model):
    """Change a header."""

    name: str | None = None
    values: list[str] | None = None
    operation: Literal["REPLACE", "REMOVE", "APPEND"] | None = None


class MixerRule(Model):
    """``spec`` of a rule; an empty ``match`` always holds."""

    match: str | None = None
    actions: list[Action] | None = None
    request_header_operations: list[HeaderOperationTemplate] | None = None
    response_header_operations: list[HeaderOperationTemplate] | None = None
    sampling: Struct | None = None


class Instance(Model):
    """``spec`` of an instance."""

    compiled_template: str | None = None
    template: str | None = None
    params: Struct | None = None
    attribute_bindings: StringMap | None = None


class Handler(Model):
    """``spec`` of a handler."""

    compiled_adapter: str | None = None
    adapter: str | None = None
    params: Struct | None = None
    connection: Struct | None = None


class Status(Model):
    """google.rpc.Status; 7 is PERMISSION_DENIED and becomes 403."""

    code: int | None = None
    message: str | None = None
    details: list[Any] | None = None


class Denier(Model):
    """Refuse everything."""

    status: Status | None = None
    valid_duration: Duration | None = None
    valid_use_count: int | None = None


class ListChecker(Model):
    """A white list or a black list."""

    provider_url: str | None = None
    refresh_interval: Duration | None = None
    ttl: Duration | None = None
    caching_interval: Duration | None = None
    caching_use_count: int | None = None
    overrides: list[str] | None = None
    entry_type: Literal["STRINGS", "CASE_INSENSITIVE_STRINGS", "IP_ADDRESSES", "REGEX"] | None = (
        None
    )
    blacklist: bool | None = None


class QuotaOverride(Model):
    """Another limit for some dimensions; the first that matches holds."""

    dimensions: StringMap | None = None
    max_amount: int | None = None
    valid_duration: Duration | None = None


class MemQuotaLimit(Model):
    """``maxAmount`` per ``validDuration``."""

    name: str | None = None
    max_amount: int | None = None
    valid_duration: Duration | None = None
    overrides: list[QuotaOverride] | None = None


class MemQuota(Model):
    """A rate limit in the memory of Mixer."""

    quotas: list[MemQuotaLimit] | None = None
    min_deduplication_duration: Duration | None = None


class QuotaTemplate(Model):
    """What a quota counts by."""

    dimensions: StringMap | None = None


class MetricTemplate(Model):
    """A value and its dimensions, as expressions over attributes."""

    value: str | None = None
    dimensions: StringMap | None = None
    monitored_resource_type: str | None = None
    monitored_resource_dimensions: StringMap | None = None


class AttributeMatch(Model):
    """Attributes that must match."""

    clause: dict[str, StringMatch] | None = None


class Quota(Model):
    """Charge this much to this quota."""

    quota: str | None = None
    charge: int | None = None


class QuotaRule(Model):
    """When which quotas are charged."""

    match: list[AttributeMatch] | None = None
    quotas: list[Quota] | None = None


class QuotaSpec(Model):
    """``spec`` of a QuotaSpec."""

    rules: list[QuotaRule] | None = None


class QuotaSpecReference(Model):
    """A QuotaSpec."""

    name: str | None = None
    namespace: str | None = None


class IstioService(Model):
    """A service."""

    name: str | None = None
    namespace: str | None = None
    domain: str | None = None
    service: str | None = None
    labels: StringMap | None = None


class QuotaSpecBinding(Model):
    """``spec`` of a QuotaSpecBinding: the services whose requests are charged."""

    services: list[IstioService] | None = None
    quota_specs: list[QuotaSpecReference] | None = None
