"""EnvoyFilter: a piece of Envoy's own configuration, merged into what the control plane made.

For what Istio has no field: active health checks above all.  ``configPatches`` with ``applyTo:
CLUSTER`` and ``operation: MERGE`` are executed, with the fields of ``EXECUTED``; ``match`` says
which clusters (``context``, ``cluster.service``: the full name, ``portNumber``, ``subset``,
``name``), ``workloadSelector`` whose proxies.  One of the root namespace is for the whole mesh.
A list that is merged grows, as in Istio.  What of clusters is not executed is told when it is
applied (KIT0203); limits of the HTTP connection manager are in
``network_filter``, the local rate limit in ``local_rate_limit``; all else has no effect (KIT0011).
Source: istio/istio ``pilot/pkg/networking/core/envoyfilter/cluster_patch.go``.
Shown by ``meshctl proxy-config cluster POD -o json``.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from datetime import timedelta
from typing import Any, cast

from betterproto2 import Message
from envoy_data_plane.envoy.config.cluster.v3 import Cluster, ClusterCommonLbConfig

from mesh.istio.models.envoy_filter import ClusterMatch, ConfigPatch, EnvoyFilter
from mesh.istio.problem import Level, Problem
from mesh.istio.resource import Resource, Step
from mesh.pilot.node import ProxyNode
from mesh.pilot.translate import names
from mesh.pilot.translate.view import MeshView
from mesh.topology import ROOT_NAMESPACE

CODE = "KIT0203"
EXECUTED = {
    "healthChecks": "health_checks",
    "ignoreHealthOnHostRemoval": "ignore_health_on_host_removal",
    "outlierDetection": "outlier_detection",
    "commonLbConfig": "common_lb_config",
    "connectTimeout": "connect_timeout",
}
"""Fields of Envoy's cluster that both data planes execute, in both spellings."""
INBOUND, OUTBOUND, GATEWAY = "SIDECAR_INBOUND", "SIDECAR_OUTBOUND", "GATEWAY"
Key = tuple[int, str, str]


def key(view: MeshView, node: ProxyNode) -> tuple[Key, ...]:
    """Return which EnvoyFilters are for ``node``, in their order: by priority, the mesh's first."""
    found: list[Key] = []
    for each in view.of_kind("EnvoyFilter", node.namespace, ROOT_NAMESPACE):
        spec: EnvoyFilter = each.spec
        labels = (spec.workload_selector.labels if spec.workload_selector else None) or {}
        if each.namespace in (ROOT_NAMESPACE, node.namespace) and (
            labels.items() <= node.labels.items()
        ):
            found.append((spec.priority or 0, each.namespace, each.name))
    return tuple(sorted(found, key=lambda item: (item[0], item[1] != ROOT_NAMESPACE)))


def apply(
    view: MeshView,
    chosen: Iterable[Key],
    clusters: Mapping[str, Cluster],
    context: str,
    own: Collection[str] = (),
) -> None:
    """Merge into ``clusters`` what the ``chosen`` EnvoyFilters say.

    ``own`` are the host names that the application itself has: its clusters carry no name.
    """
    for _, namespace, name in chosen:
        for patch in spec_of(view, namespace, name).config_patches or []:
            if patch.apply_to != "CLUSTER" or _remark(patch) or not _for(patch, context):
                continue
            extra = Cluster.from_dict(_value(patch))
            for cluster in clusters.values():
                if _matches(patch, cluster.name, own):
                    _merge(cluster, extra)


def spec_of(view: MeshView, namespace: str, name: str) -> EnvoyFilter:
    """Return what an EnvoyFilter that ``key`` has named says."""
    found = view.of_kind("EnvoyFilter", namespace)
    return next(cast(EnvoyFilter, each.spec) for each in found if each.name == name)


def _for(patch: ConfigPatch, context: str) -> bool:
    wanted = (patch.match.context if patch.match else None) or "ANY"
    return wanted in ("ANY", context)


def _matches(patch: ConfigPatch, cluster: str, own: Collection[str]) -> bool:
    match = (patch.match.cluster if patch.match else None) or ClusterMatch()
    if match.name:
        return match.name == cluster
    _, port, subset, hostname = names.parse(cluster)
    if match.subset and match.subset != subset:
        return False
    if match.service and match.service.lower() not in (own or (hostname,)):
        return False
    return not match.port_number or match.port_number == port


def _value(patch: ConfigPatch) -> dict[str, Any]:
    return (patch.patch.value if patch.patch else None) or {}


def _merge(cluster: Cluster, extra: Cluster) -> None:
    """Merge as protobuf does: messages field by field, lists appended, the rest replaced.

    Not Istio's: what a health check finds is in force at once; by default Envoy gathers changes of
    health for 1 s.
    """
    for name in EXECUTED.values():
        ours, theirs = getattr(cluster, name), getattr(extra, name)
        if isinstance(theirs, list):
            setattr(cluster, name, [*ours, *theirs])
        elif isinstance(theirs, Message) and ours is not None:
            setattr(cluster, name, merged(ours, theirs))
        elif theirs:
            setattr(cluster, name, theirs)
    if cluster.health_checks:
        balancing = cluster.common_lb_config or ClusterCommonLbConfig()
        if balancing.update_merge_window is None:
            balancing.update_merge_window = timedelta(0)
        cluster.common_lb_config = balancing


def merged[Kind: Message](ours: Kind, theirs: Kind) -> Kind:
    """Return ``ours`` with the fields of ``theirs``."""
    return type(ours).from_dict(_over(ours.to_dict(), theirs.to_dict()))


def _over(base: Any, upper: Any) -> Any:
    if isinstance(base, dict) and isinstance(upper, dict):
        return base | {name: _over(base.get(name), value) for name, value in upper.items()}
    if isinstance(base, list) and isinstance(upper, list):
        return [*base, *upper]
    return upper


def remarks(resources: Iterable[Resource]) -> list[Problem]:
    """Return an error for a patch that is no Envoy configuration, a warning for what is left out."""
    found = []
    for each in resources:
        if isinstance(each.spec, EnvoyFilter):
            for level, path, text, hint in _remarks(each.spec):
                found.append(each.problem(CODE, level, text, path, hint=hint))
    return found


_Remark = tuple[Level, tuple[Step, ...], str, str]


def _remarks(spec: EnvoyFilter) -> Iterator[_Remark]:
    if spec.filters:
        text = "`filters` is the form before Istio 1.3 and is not executed here"
        yield Level.WARNING, ("spec", "filters"), text, "Use `configPatches`."
    if spec.target_refs:
        text = "`targetRefs` is not executed here"
        yield Level.WARNING, ("spec", "targetRefs"), text, "Use `workloadSelector`."
    for number, patch in enumerate(spec.config_patches or []):
        found = _remark(patch)
        if found is not None:
            level, path, text, hint = found
            yield level, ("spec", "configPatches", number, *path), text, hint
        elif patch.apply_to == "CLUSTER" and _without_host(patch):
            where = ("spec", "configPatches", number, "patch", "value")
            text = "the health check has no host: Envoy sends the cluster's name, and the pods' "
            yield (
                Level.WARNING,
                where,
                text + "sidecars answer 400 to the | in it, so every pod counts as sick",
                "Write `http_health_check: {host: ..., path: ...}`.",
            )


def _remark(patch: ConfigPatch) -> _Remark | None:
    """Say why a patch of a cluster has no effect here; None when it has one."""
    operation = patch.patch.operation if patch.patch else None
    if patch.apply_to != "CLUSTER":
        return None
    if operation != "MERGE":
        text = f"operation {operation} on a CLUSTER is accepted and has no effect in this kit"
        return Level.WARNING, ("patch", "operation"), text, "MERGE has."
    value = _value(patch)
    other = [name for name in value if name not in {*EXECUTED, *EXECUTED.values()}]
    if other:
        text = f"{other[0]} of a cluster cannot be patched in this kit: this patch has no effect"
        hint = f"These fields can: {', '.join(EXECUTED.values())}."
        return Level.WARNING, ("patch", "value", other[0]), text, hint
    try:
        Cluster.from_dict(value).to_dict()
    except (KeyError, AttributeError, TypeError, ValueError) as error:
        why = error.args[0] if error.args else error
        text = f"this is no configuration of an Envoy cluster: {why}"
        hint = 'Durations are texts ("1s"), names as in Envoy\'s documentation.'
        return Level.ERROR, ("patch", "value"), text, hint
    return None


def _without_host(patch: ConfigPatch) -> bool:
    """Tell whether an HTTP check would ask for the cluster's name, which a sidecar refuses."""
    checks = Cluster.from_dict(_value(patch)).health_checks
    return any(each.http_health_check and not each.http_health_check.host for each in checks)
