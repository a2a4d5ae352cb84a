"""Describe: everything that applies to one pod or service, and from which file each piece comes.

The answer to "why does my request go there": Service, DestinationRule with its subsets, the
VirtualService's or HTTPRoute's routes with their shares, mTLS mode, policies.  Shape and words follow
``istioctl x describe`` (istio/istio ``istioctl/pkg/describe``).  Shown by
``meshctl describe service NAME`` and ``meshctl describe pod NAME``.
"""

from __future__ import annotations

from collections.abc import Iterator

from mesh.istio import gateway_api
from mesh.istio.analyze.context import MESH, Context
from mesh.istio.analyze.hosts import covers, resolve
from mesh.istio.analyze.mtls import effective_mode
from mesh.istio.analyze.pods import PodGroup
from mesh.istio.models.authorization_policy import on_trial
from mesh.istio.models.base import LabelSelector, format_duration
from mesh.istio.models.destination_rule import TrafficPolicy
from mesh.istio.models.virtual_service import HTTPMatchRequest, HTTPRoute, VirtualService
from mesh.istio.resource import Resource
from mesh.topology import DOMAIN_SUFFIX

_POLICIES = ("AuthorizationPolicy", "RequestAuthentication", "PeerAuthentication", "Telemetry")


class UnknownNameError(ValueError):
    """There is no pod or service of that name; the text names those that there are."""


def describe_service(context: Context, name: str, namespace: str) -> list[str]:
    """Return lines about a service; UnknownNameError when nobody knows it."""
    host = resolve(name, namespace)
    known = context.services
    ruled = any(host == each for _, _, each in context.destination_rules())
    if host not in known and not ruled and (context.knows_services or known):
        there = ", ".join(sorted(each.split(".")[0] for each in known))
        raise UnknownNameError(f"no service is called {name!r} in {namespace}: there are {there}")
    lines = [f"Service: {host}"]
    lines += [f"   Port: {port}" for port in known.get(host, ())]
    own = host.split(".")[1] if host.endswith(DOMAIN_SUFFIX) else namespace
    groups = [
        each for each in context.pods.by_namespace.get(own, ()) if each.labels.get("app") == name
    ]
    lines += [f"   Pods: {_pods(each)}" for each in groups]
    lines += _rules(context, host, None)
    lines += _routes(context, host, None)
    labels = {"app": host.split(".")[0]}
    return lines + _security(context, own, labels)


def describe_pod(context: Context, name: str, namespace: str) -> list[str]:
    """Return lines about a pod (or workload); UnknownNameError when nobody knows it."""
    groups = context.pods.by_namespace.get(namespace, [])
    fits = [each for each in groups if name == each.name or name.startswith(each.name + "-")]
    if not fits:
        fits = [each for each in groups if each.name.startswith(name)]
    if not fits:
        there = ", ".join(each.name for each in groups) or "none"
        raise UnknownNameError(f"no pod is called {name!r} in {namespace}: there are {there}")
    pod = fits[0]
    lines = [f"Pod: {pod.name}.{pod.namespace}", f"   Labels: {_labels(pod.labels)}"]
    host = resolve(pod.labels.get("app", pod.name), pod.namespace)
    lines.append(f"Service: {host}")
    lines += _rules(context, host, pod)
    lines += _routes(context, host, pod)
    return lines + _security(context, pod.namespace, pod.labels)


def _rules(context: Context, host: str, pod: PodGroup | None) -> list[str]:
    lines: list[str] = []
    for resource, spec, ruled in context.destination_rules():
        if not covers(ruled, host):
            continue
        lines.append(
            f'DestinationRule: {resource.name} for "{spec.host}"   ({resource.position()})'
        )
        subsets = spec.subsets or []
        if pod is None:
            for subset in subsets:
                count = context.pods_of(host, subset.labels)
                text = "" if count is None else f": {count} pod{'' if count == 1 else 's'}"
                warning = "   WARNING: selects no pod" if count == 0 else ""
                lines.append(
                    f"   Subset {subset.name} ({_labels(subset.labels or {})}){text}{warning}"
                )
                if subset.traffic_policy is not None:
                    lines.append(f"      Traffic Policy: {_fields(subset.traffic_policy)}")
        else:
            fits = [each for each in subsets if (each.labels or {}).items() <= pod.labels.items()]
            others = [each.name for each in subsets if each not in fits]
            names = ", ".join(each.name for each in fits) or "none"
            lines.append(f"   Matching subsets: {names}")
            if others:
                lines.append(f"      (Non-matching subsets {', '.join(others)})")
            lines += [
                f"      {each.name}: {_fields(each.traffic_policy)}"
                for each in fits
                if each.traffic_policy is not None
            ]
        policy = spec.traffic_policy
        lines.append(f"   Traffic Policy: {_fields(policy)}" if policy else "   No Traffic Policy")
    return lines or ["No DestinationRule"]


def _fields(policy: TrafficPolicy) -> str:
    return ", ".join(f"{key} {value}" for key, value in policy.to_json().items()) or "empty"


def _routes(context: Context, host: str, pod: PodGroup | None) -> list[str]:
    lines: list[str] = []
    for resource, spec in context.virtual_services():
        if _applies(resource, spec, host):
            where = ", ".join(spec.gateways or [MESH])
            lines.append(f"VirtualService: {resource.name} at {where}   ({resource.position()})")
            lines += _http(context, spec.http or [], host, pod)
    for converted in gateway_api.convert(context.resources).routes:
        if converted.spec.hosts == [host] and converted.spec.gateways == [MESH]:
            lines += [
                f"HTTPRoute: {each.name} at {MESH}   ({each.position()})"
                for each in context.by_kind["HTTPRoute"]
                if f"{each.namespace}/{each.name}" in converted.origins
            ]
            lines += _http(context, converted.spec.http or [], host, pod)
    return lines or ["No VirtualService: every pod gets its share"]


def _applies(resource: Resource, spec: VirtualService, host: str) -> bool:
    """True for the rules that sidecars follow to a host, and those of a gateway that lead to it."""
    if MESH in (spec.gateways or [MESH]):
        return any(covers(resolve(each, resource.namespace), host) for each in spec.hosts or ())
    targets = [each.destination for rule in spec.http or () for each in rule.route or ()]
    return any(resolve(each.host, resource.namespace) == host for each in targets)


def _http(
    context: Context, rules: list[HTTPRoute], host: str, pod: PodGroup | None
) -> Iterator[str]:
    """Say what rules match and do; for a pod, only what can reach it."""
    reached = False
    for rule in rules:
        yield f"   Match: {_match(rule.match)}"
        for text, subset in _actions(rule):
            if pod is not None and subset is not None and not _in(context, host, subset, pod):
                continue
            reached = True
            yield f"      {text}"
    if not reached:
        yield f"   WARNING: No destinations match pod subsets (checked {len(rules)} HTTP routes)"


def _in(context: Context, host: str, subset: str, pod: PodGroup) -> bool:
    if not subset:
        return True
    found = context.subsets_of(host).get(subset)
    return found is not None and (found.labels or {}).items() <= pod.labels.items()


def _actions(rule: HTTPRoute) -> list[tuple[str, str | None]]:
    """Return what a rule does, with the subset where it sends requests (None: nowhere)."""
    found: list[tuple[str, str | None]] = []
    if rule.fault is not None:
        found.append((f"Fault: {rule.fault.to_json()}", None))
    if rule.redirect is not None:
        found.append((f"Redirect: {rule.redirect.to_json()}", None))
    if rule.direct_response is not None:
        found.append((f"Direct response: {rule.direct_response.status}", None))
    total = sum(each.weight or 0 for each in rule.route or ())
    for each in rule.route or ():
        target = each.destination
        share = 100.0 if len(rule.route or ()) == 1 else 100 * (each.weight or 0) / (total or 1)
        name = f'"{target.host}"' + (f" subset {target.subset}" if target.subset else "")
        found.append((f"Route to host {name} with weight {share:g}%", target.subset or ""))
    copies = [rule.mirror] if rule.mirror else []
    copies += [each.destination for each in rule.mirrors or ()]
    for copy in copies:
        name = f'"{copy.host}"' + (f" subset {copy.subset}" if copy.subset else "")
        found.append((f"Mirror to host {name}", copy.subset or ""))
    if rule.timeout:
        found.append((f"Timeout: {format_duration(rule.timeout)}", None))
    if rule.retries is not None:
        found.append((f"Retries: {rule.retries.to_json()}", None))
    return found


def _match(blocks: list[HTTPMatchRequest] | None) -> str:
    if not blocks:
        return "everything"
    return " or ".join(_block(each) for each in blocks)


def _block(block: HTTPMatchRequest) -> str:
    parts = []
    for key, value in block.to_json().items():
        if isinstance(value, dict) and set(value) <= {"exact", "prefix", "regex"}:
            parts.append(f"{key} {_string(value)}")
        elif isinstance(value, dict):
            parts += [
                f"{key}[{name}] {_string(each) if isinstance(each, dict) else each}"
                for name, each in value.items()
            ]
        else:
            parts.append(f"{key} {value}")
    return " and ".join(parts) or "everything"


def _string(value: dict[str, str]) -> str:
    if not value:
        return "is there"
    (kind, text), *_ = value.items()
    return {"exact": text, "prefix": f"{text}*"}.get(kind, f"/{text}/")


def _security(context: Context, namespace: str, labels: dict[str, str]) -> list[str]:
    mode = effective_mode(context, namespace, labels)
    lines = [f"Effective PeerAuthentication: Workload mTLS mode: {mode}"]
    for kind in _POLICIES:
        for resource in context.by_kind.get(kind, ()):
            if _selects(resource, namespace, labels):
                action = f", action {getattr(resource.spec, 'action', None) or 'ALLOW'}"
                what = action if kind == "AuthorizationPolicy" else ""
                if what and on_trial(resource.annotations):
                    what += ", on trial: it refuses nothing (istio.io/dry-run)"
                lines.append(
                    f"   {kind} {resource.namespace}/{resource.name}{what}   ({resource.position()})"
                )
    return lines


def _selects(resource: Resource, namespace: str, labels: dict[str, str]) -> bool:
    if resource.namespace not in (namespace, "istio-system"):
        return False
    selector = getattr(resource.spec, "selector", None)
    if not isinstance(selector, LabelSelector):
        return True
    return (selector.match_labels or {}).items() <= labels.items()


def _labels(labels: dict[str, str]) -> str:
    return ",".join(f"{key}={value}" for key, value in sorted(labels.items())) or "no labels"


def _pods(group: PodGroup) -> str:
    return f"{group.name} x{group.count} ({_labels(group.labels)})"
