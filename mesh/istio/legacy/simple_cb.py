"""The circuit breaker of Istio before v1alpha3 (0.1 to 0.7): ``destination``, ``policy``, ``simpleCb``.

What it was: a "destination policy" per host and set of tags.  What it became, field by field
(istio/api ``routing/v1alpha1/dest_policy.proto`` -> ``networking/v1alpha3/destination_rule.proto``):

    destination                              -> spec.host
    policy[].tags (or labels)                -> spec.subsets[].labels; the policy of this subset
    policy[].loadBalancing.name              -> trafficPolicy.loadBalancer.simple
    circuitBreaker.simpleCb.maxConnections   -> connectionPool.tcp.maxConnections
      httpMaxPendingRequests                 -> connectionPool.http.http1MaxPendingRequests
      httpMaxRequests                        -> connectionPool.http.http2MaxRequests
      httpMaxRequestsPerConnection           -> connectionPool.http.maxRequestsPerConnection
      httpMaxRetries                         -> connectionPool.http.maxRetries
      httpConsecutiveErrors                  -> outlierDetection.consecutiveErrors, and where the
                                                era ignores that word, consecutive5xxErrors
      sleepWindow                            -> outlierDetection.baseEjectionTime
      httpDetectionInterval                  -> outlierDetection.interval
      httpMaxEjectionPercent                 -> outlierDetection.maxEjectionPercent
"""

from __future__ import annotations

from typing import Any

from mesh.istio.eras import Era
from mesh.istio.legacy.converted import Converted, destination_rule

FORMAT = "destination policy of Istio before v1alpha3 (circuitBreaker.simpleCb)"

_FIELDS = {
    "maxConnections": ("connectionPool", "tcp", "maxConnections"),
    "httpMaxPendingRequests": ("connectionPool", "http", "http1MaxPendingRequests"),
    "httpMaxRequests": ("connectionPool", "http", "http2MaxRequests"),
    "httpMaxRequestsPerConnection": ("connectionPool", "http", "maxRequestsPerConnection"),
    "httpMaxRetries": ("connectionPool", "http", "maxRetries"),
    "httpConsecutiveErrors": ("outlierDetection", "consecutiveErrors"),
    "httpDetectionInterval": ("outlierDetection", "interval"),
    "sleepWindow": ("outlierDetection", "baseEjectionTime"),
    "httpMaxEjectionPercent": ("outlierDetection", "maxEjectionPercent"),
}


def simple_cb(root: Any, era: Era) -> Converted | None:
    """Convert a destination policy; None when the document is none."""
    if not isinstance(root, dict) or not isinstance(root.get("destination"), str):
        return None
    policies = root.get("policy")
    if isinstance(policies, dict):
        policies = [policies]
    if not isinstance(policies, list) or not policies:
        return None
    host = root["destination"]
    notes: list[str] = []
    top: dict[str, Any] = {}
    subsets: list[dict[str, Any]] = []
    for policy in policies:
        if not isinstance(policy, dict):
            return None
        traffic = _traffic_policy(policy, era, notes)
        tags = policy.get("tags") or policy.get("labels") or _beside(policy, notes)
        if isinstance(tags, dict) and tags:
            labels = {str(key): str(value) for key, value in tags.items()}
            name = "-".join(labels.values()).lower()
            subset: dict[str, Any] = {"name": name, "labels": labels}
            if traffic:
                subset["trafficPolicy"] = traffic
            subsets.append(subset)
            notes.append(f"tags -> subset {name}: in force for routes that name this subset")
        else:
            top = traffic
    spec: dict[str, Any] = {"host": host}
    if top:
        spec["trafficPolicy"] = top
    if subsets:
        spec["subsets"] = subsets
    return Converted(FORMAT, destination_rule(host, spec, era), tuple(notes))


def _beside(policy: dict[str, Any], notes: list[str]) -> dict[str, str]:
    """The tags of a `tags:` that holds nothing, as on the slide: they stand beside it."""
    if not ({"tags", "labels"} & policy.keys()):
        return {}
    found = {str(key): each for key, each in policy.items() if isinstance(each, str)}
    if found:
        notes.append(f"{', '.join(found)} beside tags: meant as one of them")
    return found


def _traffic_policy(policy: dict[str, Any], era: Era, notes: list[str]) -> dict[str, Any]:
    traffic: dict[str, Any] = {}
    balancing = policy.get("loadBalancing")
    if isinstance(balancing, dict) and isinstance(balancing.get("name"), str):
        traffic["loadBalancer"] = {"simple": balancing["name"]}
        notes.append("loadBalancing.name -> loadBalancer.simple")
    breaker = policy.get("circuitBreaker")
    settings = breaker.get("simpleCb") if isinstance(breaker, dict) else None
    if not isinstance(settings, dict):
        return traffic
    for name, way in _FIELDS.items():
        if name not in settings:
            continue
        if way[-1] == "consecutiveErrors" and not era.consecutive_errors_honoured:
            way = ("outlierDetection", "consecutive5xxErrors")
        target = traffic
        for step in way[:-1]:
            target = target.setdefault(step, {})
        target[way[-1]] = settings[name]
        notes.append(f"{name} -> {'.'.join(way)}")
    left = [str(name) for name in settings if name not in _FIELDS]
    if left:
        notes.append(f"left out, nothing corresponds: {', '.join(left)}")
    return traffic
