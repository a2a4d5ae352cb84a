"""Traffic management for today's Istio: fields under their new names, old defaults written out.

What an era did without being asked (its default retries, round robin) a later Istio does not, so
it is written into the resource: the exported lab behaves as the lab did.
Sources: istio/api ``virtual_service.proto``, ``destination_rule.proto``; ``mesh.istio.eras``.
"""

from __future__ import annotations

from typing import Any

from mesh.istio.eras import ISTIO_1_28, Era
from mesh.istio.resource import Resource
from mesh.kubernetes.convert.converted import Converted, Document, body

KINDS = ("VirtualService", "DestinationRule")
_VERSIONS = {
    "networking.istio.io": "v1",
    "security.istio.io": "v1",
    "telemetry.istio.io": "v1",
    "gateway.networking.k8s.io": "v1",
}
_ONLY = {
    "EnvoyFilter": "networking.istio.io/v1alpha3",
    "ProxyConfig": "networking.istio.io/v1beta1",
    "ReferenceGrant": "gateway.networking.k8s.io/v1beta1",
}


def take_over(resource: Resource, done: Converted) -> None:
    """Take a resource as it is, in the API version of today."""
    found = body(resource)
    found["apiVersion"] = _ONLY.get(resource.kind) or (
        f"{resource.group}/{_VERSIONS[resource.group]}"
        if resource.group in _VERSIONS
        else resource.api_version
    )
    meta = dict(found.get("metadata") or {})
    kept = {key: meta[key] for key in ("labels", "annotations") if meta.get(key)}
    found["metadata"] = {"name": resource.name, "namespace": resource.namespace, **kept}
    found.pop("status", None)
    done.documents.append(found)


def convert(resource: Resource, era: Era, done: Converted) -> None:
    """Take over a VirtualService or DestinationRule of an era."""
    take_over(resource, done)
    spec = done.documents[-1].get("spec")
    if not isinstance(spec, dict):
        return
    if resource.kind == "VirtualService":
        for index, route in enumerate(spec.get("http") or []):
            path = f"spec.http[{index}]"
            _renamed(resource, route, path, done)
            _retries(resource, route, path, era, done)
    else:
        policies = [("spec.trafficPolicy", spec.get("trafficPolicy"))]
        policies += [
            (f"spec.subsets[{n}].trafficPolicy", each.get("trafficPolicy"))
            for n, each in enumerate(spec.get("subsets") or [])
        ]
        for path, policy in policies:
            for place, each in _levels(path, policy):
                _outliers(resource, each, place, era, done)
                _balancer(resource, each, place, done)
        if era.default_load_balancer != ISTIO_1_28.default_load_balancer:
            policy = spec.setdefault("trafficPolicy", {})
            if isinstance(policy, dict) and "loadBalancer" not in policy:
                policy["loadBalancer"] = {"simple": era.default_load_balancer}
                word = era.default_load_balancer
                done.note(resource, f"{word}, the default of {era}, is written out")


def _levels(path: str, policy: Any) -> list[tuple[str, Document]]:
    if not isinstance(policy, dict):
        return []
    ports = [each for each in policy.get("portLevelSettings") or [] if isinstance(each, dict)]
    return [(path, policy)] + [
        (f"{path}.portLevelSettings[{n}]", each) for n, each in enumerate(ports)
    ]


def _renamed(resource: Resource, route: Document, path: str, done: Converted) -> None:
    fault = route.get("fault") or {}
    for name in ("delay", "abort"):
        part = fault.get(name)
        if isinstance(part, dict) and "percent" in part:
            value = part.pop("percent")
            part.setdefault("percentage", {"value": value})
            text = f"percent: {value} is percentage.value today"
            done.note(resource, text, f"{path}.fault.{name}.percent")
    for old in ("mirrorPercent", "mirror_percent"):
        if old in route:
            value = route.pop(old)
            route.setdefault("mirrorPercentage", {"value": value})
            done.note(resource, f"{old}: {value} is mirrorPercentage.value today", f"{path}.{old}")
    if "websocketUpgrade" in route:
        del route["websocketUpgrade"]
        done.note(resource, "websocketUpgrade is always on today", f"{path}.websocketUpgrade")
    _headers(resource, route, path, done)
    for number, each in enumerate(route.get("route") or []):
        _headers(resource, each, f"{path}.route[{number}]", done)


_HEADERS = {
    "appendHeaders": ("request", "add"),
    "appendRequestHeaders": ("request", "add"),
    "removeRequestHeaders": ("request", "remove"),
    "appendResponseHeaders": ("response", "add"),
    "removeResponseHeaders": ("response", "remove"),
}


def _headers(resource: Resource, owner: Document, path: str, done: Converted) -> None:
    for old, (side, action) in _HEADERS.items():
        if old in owner:
            part = owner.setdefault("headers", {}).setdefault(side, {})
            part.setdefault(action, owner.pop(old))
            done.note(resource, f"{old} is headers.{side}.{action} today", f"{path}.{old}")


def _retries(resource: Resource, route: Document, path: str, era: Era, done: Converted) -> None:
    """Write the era's default retries where the route says nothing and forwards requests."""
    if (
        "retries" in route
        or not route.get("route")
        or era.default_retry == ISTIO_1_28.default_retry
    ):
        return
    default = era.default_retry
    if default is None:
        route["retries"] = {"attempts": 0}
        done.note(resource, f"{era} did not retry by itself: attempts: 0 is written out", path)
        return
    codes = [str(each) for each in default.retriable_status_codes]
    words = [each for each in default.retry_on if each != "retriable-status-codes"]
    on = ",".join([*words, *codes])
    route["retries"] = {"attempts": default.attempts, "retryOn": on}
    done.note(resource, f"the default retries of {era} are written out: {on}", path)


def _outliers(resource: Resource, policy: Document, path: str, era: Era, done: Converted) -> None:
    found = policy.get("outlierDetection")
    if not isinstance(found, dict) or "consecutiveErrors" not in found:
        return
    errors = found.pop("consecutiveErrors")
    place = f"{path}.outlierDetection.consecutiveErrors"
    if era.consecutive_errors_honoured:
        found.setdefault("consecutiveGatewayErrors", errors)
        found.setdefault("consecutive5xxErrors", 0)
        text = f"consecutiveErrors: {errors} counted 502, 503 and 504: consecutiveGatewayErrors"
        done.note(resource, text, place)
    else:
        done.note(resource, f"consecutiveErrors, which {era} ignored, is left out", place)


def _balancer(resource: Resource, policy: Document, path: str, done: Converted) -> None:
    found = policy.get("loadBalancer")
    if not isinstance(found, dict):
        return
    if found.get("simple") == "LEAST_CONN":
        found["simple"] = "LEAST_REQUEST"
        done.note(resource, "LEAST_CONN is called LEAST_REQUEST", f"{path}.loadBalancer.simple")
    hashed = found.get("consistentHash")
    if isinstance(hashed, dict) and "minimumRingSize" in hashed:
        hashed.setdefault("ringHash", {"minimumRingSize": hashed.pop("minimumRingSize")})
        done.note(resource, "minimumRingSize belongs to ringHash", f"{path}.loadBalancer")
