"""Mixer (until Istio 1.7): a quota as a local rate limit, a denier as an AuthorizationPolicy.

Mixer counted for the whole mesh; the sidecar's token bucket counts per pod, so a limit of 10 for
two pods is 10 for each.  Limits per client, white lists, header operations and adapters of one's
own have no equivalent without a service of one's own behind ext_authz.
Source: istio/istio 1.4.0 ``mixer/adapter/memquota``; istio.io, "Enabling Rate Limits using Envoy".
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from mesh.istio.models.legacy_mixer import (
    Denier,
    Handler,
    MemQuota,
    MixerRule,
    QuotaSpecBinding,
)
from mesh.istio.resource import Resource
from mesh.kubernetes.convert.converted import Converted, document

_TELEMETRY = frozenset(["metric", "logentry", "prometheus", "stdio", "tracespan"])
KINDS = [
    "rule",
    "handler",
    "instance",
    "memquota",
    "denier",
    "listchecker",
    "quota",
    "metric",
    "logentry",
    "prometheus",
    "stdio",
    "QuotaSpec",
    "QuotaSpecBinding",
    "checknothing",
    "listentry",
    "redisquota",
    "attributemanifest",
    "adapter",
    "template",
]
_EQUAL = re.compile(r'\s*(source|destination)\.labels\["app"\]\s*==\s*"([\w.-]+)"\s*')
_FILTER = "type.googleapis.com/envoy.extensions.filters.http.local_ratelimit.v3.LocalRateLimit"


def convert(resources: Sequence[Resource], done: Converted) -> None:
    """Write what has an equivalent; refuse the rest."""
    found = [each for each in resources if each.kind in KINDS]
    for resource in found:
        if resource.kind in ("listchecker", "redisquota", "adapter", "template"):
            hint = "Write an AuthorizationPolicy by principal, or a check service behind ext_authz."
            done.refuse(resource, f"{resource.kind} has no equivalent without Mixer", hint)
        elif resource.kind in _TELEMETRY:
            done.note(resource, "Istio reports its standard metrics and logs by itself; left out")
    _quotas(found, done)
    _deniers(found, done)


def _quotas(found: Sequence[Resource], done: Converted) -> None:
    limits = [(each, _memquota(each)) for each in found]
    services = [
        (each, service)
        for each in found
        if isinstance(each.spec, QuotaSpecBinding)
        for service in each.spec.services or ()
    ]
    for resource, quota in limits:
        for limit in (quota.quotas if quota else None) or ():
            if limit.overrides:
                hint = "Drop the overrides, or run Envoy's global rate limit service."
                done.refuse(resource, "limits per client (overrides) have no equivalent", hint)
                continue
            if not services:
                done.note(resource, "no QuotaSpecBinding charges it; left out")
            for binding, service in services:
                app, namespace = service.name or "", service.namespace or binding.namespace
                name = f"quota-{app or 'all'}"
                done.documents.append(
                    document(
                        "networking.istio.io/v1alpha3",
                        "EnvoyFilter",
                        name,
                        namespace,
                        _rate_limit(app, limit.max_amount or 0, limit.valid_duration),
                    )
                )
                done.note(
                    resource,
                    f"is EnvoyFilter {namespace}/{name}: {limit.max_amount} requests per "
                    "validDuration and pod, where Mixer counted for all pods together",
                )


def _memquota(resource: Resource) -> MemQuota | None:
    spec = resource.spec
    if isinstance(spec, MemQuota):
        return spec
    if isinstance(spec, Handler) and spec.compiled_adapter == "memquota":
        return MemQuota.model_validate(spec.params or {})
    return None


def _rate_limit(app: str, amount: int, per: timedelta | None) -> dict[str, Any]:
    share = {"numerator": 100, "denominator": "HUNDRED"}
    interval = f"{max(1, round(per.total_seconds() if per else 1))}s"
    value = {
        "stat_prefix": "http_local_rate_limiter",
        "token_bucket": {
            "max_tokens": amount,
            "tokens_per_fill": amount,
            "fill_interval": interval,
        },
        "filter_enabled": {"runtime_key": "local_rate_limit_enabled", "default_value": share},
        "filter_enforced": {"runtime_key": "local_rate_limit_enforced", "default_value": share},
    }
    typed = {
        "@type": "type.googleapis.com/udpa.type.v1.TypedStruct",
        "type_url": _FILTER,
        "value": value,
    }
    manager = {"name": "envoy.filters.network.http_connection_manager"}
    patch = {
        "applyTo": "HTTP_FILTER",
        "match": {"context": "SIDECAR_INBOUND", "listener": {"filterChain": {"filter": manager}}},
        "patch": {
            "operation": "INSERT_BEFORE",
            "value": {"name": "envoy.filters.http.local_ratelimit", "typed_config": typed},
        },
    }
    selector = {"workloadSelector": {"labels": {"app": app}}} if app else {}
    return {**selector, "configPatches": [patch]}


def _deniers(found: Sequence[Resource], done: Converted) -> None:
    deniers = {
        each.name
        for each in found
        if isinstance(each.spec, Denier)
        or (isinstance(each.spec, Handler) and each.spec.compiled_adapter == "denier")
    }
    for resource in found:
        spec = resource.spec
        if not isinstance(spec, MixerRule):
            continue
        handlers = {(each.handler or "").split(".")[0] for each in spec.actions or ()}
        if not handlers & deniers:
            continue
        labels = _labels(spec.match or "")
        if labels is None:
            done.refuse(
                resource,
                f"the match {spec.match!r} cannot be said in an AuthorizationPolicy",
                'Match on source.labels["app"] and destination.labels["app"], joined by &&.',
                "spec.match",
            )
            continue
        rule: dict[str, Any] = {}
        if "source" in labels:
            caller = f"cluster.local/ns/{resource.namespace}/sa/{labels['source']}"
            rule["from"] = [{"source": {"principals": [caller]}}]
        spec_out: dict[str, Any] = {"action": "DENY", "rules": [rule]}
        if "destination" in labels:
            spec_out["selector"] = {"matchLabels": {"app": labels["destination"]}}
        api, kind = "security.istio.io/v1", "AuthorizationPolicy"
        done.documents.append(document(api, kind, resource.name, resource.namespace, spec_out))
        text = f"is AuthorizationPolicy {resource.namespace}/{resource.name}"
        who = " by the caller's service account, which needs mTLS" if "source" in labels else ""
        done.note(resource, text + who)


def _labels(match: str) -> dict[str, str] | None:
    """Read ``destination.labels["app"] == "a" && source.labels["app"] == "b"``; None: more."""
    found: dict[str, str] = {}
    for part in match.split("&&") if match.strip() else ():
        read = _EQUAL.fullmatch(part)
        if read is None or read[1] in found:
            return None
        found[read[1]] = read[2]
    return found
