"""Analysis: configuration that is valid and yet does not do what its author thinks.

Each analyzer is one file (or one function of it) and finds one family of mistakes; ``ANALYZERS``
lists them.  Codes and texts are those of ``istioctl analyze`` where it has them (istio/istio
``pkg/config/analysis/msg/messages.yaml``); codes KIT01xx are of this kit.  Shown by
``meshctl analyze PATH``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from mesh.istio.analyze.annotations import istio_annotations
from mesh.istio.analyze.context import Context
from mesh.istio.analyze.deny_paths import deny_paths
from mesh.istio.analyze.deprecated import deprecated_fields, lightstep
from mesh.istio.analyze.duplicate_hosts import duplicate_hosts
from mesh.istio.analyze.envoy_patches import envoy_patches
from mesh.istio.analyze.external_authorization import custom_providers
from mesh.istio.analyze.faults import fault_percentage
from mesh.istio.analyze.gateway_api import http_routes
from mesh.istio.analyze.gateway_certificates import gateway_credentials, shared_certificates
from mesh.istio.analyze.gateway_conflicts import (
    claim_routes,
    gateway_conflicts,
    subsets_behind_gateway,
)
from mesh.istio.analyze.gateway_hosts import gateway_hosts
from mesh.istio.analyze.gateway_workloads import gateway_ports, gateway_workloads
from mesh.istio.analyze.identities import unknown_identities
from mesh.istio.analyze.injection import contradicting_labels, namespaces, pods_without_proxy
from mesh.istio.analyze.matches import double_slash, forwarded_headers, whole_value_regex
from mesh.istio.analyze.mtls import permissive, principals
from mesh.istio.analyze.mtls_conflicts import conflicts
from mesh.istio.analyze.outliers import consecutive_errors, ejection_percent
from mesh.istio.analyze.pod_identity import image_auto, reserved_user
from mesh.istio.analyze.policy_targets import log_providers, selected_gateways
from mesh.istio.analyze.ports import port_names, route_ports
from mesh.istio.analyze.references import references
from mesh.istio.analyze.rivals import ineffective_sidecars, sidecars, telemetries
from mesh.istio.analyze.selectors import empty_namespaces, no_workload
from mesh.istio.analyze.service_entries import entry_addresses, entry_protocols
from mesh.istio.analyze.shared_pods import shared_pods
from mesh.istio.analyze.source_namespaces import source_namespaces
from mesh.istio.analyze.subsets import subsets, unused_subset_policies
from mesh.istio.analyze.timeouts import fault_and_timeout, per_try_timeout
from mesh.istio.analyze.tls import unchecked_servers
from mesh.istio.analyze.unused_rules import unused_rules
from mesh.istio.eras import Era
from mesh.istio.problem import LIMIT, MAX_IN_FILE, Level, Problem, Room
from mesh.istio.resource import Resource
from mesh.topology import Topology

Analyzer = Callable[[Context], Iterator[Problem]]

ANALYZERS: tuple[Analyzer, ...] = (
    references,
    duplicate_hosts,
    unused_rules,
    route_ports,
    gateway_hosts,
    http_routes,
    subsets,
    unused_subset_policies,
    per_try_timeout,
    fault_and_timeout,
    fault_percentage,
    ejection_percent,
    consecutive_errors,
    unchecked_servers,
    double_slash,
    whole_value_regex,
    forwarded_headers,
    permissive,
    principals,
    unknown_identities,
    deny_paths,
    custom_providers,
    no_workload,
    empty_namespaces,
    source_namespaces,
    sidecars,
    ineffective_sidecars,
    port_names,
    entry_addresses,
    entry_protocols,
    telemetries,
    log_providers,
    selected_gateways,
    conflicts,
    gateway_conflicts,
    gateway_workloads,
    gateway_ports,
    gateway_credentials,
    shared_certificates,
    subsets_behind_gateway,
    claim_routes,
    shared_pods,
    namespaces,
    contradicting_labels,
    pods_without_proxy,
    reserved_user,
    image_auto,
    istio_annotations,
    envoy_patches,
    deprecated_fields,
    lightstep,
)


def analyze(resources: list[Resource], era: Era, services: Topology | None = None) -> list[Problem]:
    """Return what all analyzers find, in the order of files and lines.

    ``services`` is what runs; Service, Deployment and Pod objects among the resources count as
    well.  Without either, nothing is said about hosts and pods that may exist elsewhere.
    """
    context = Context(resources, era, services)
    files = {each.source.file for each in resources}
    found = [problem for analyzer in ANALYZERS for problem in _told(analyzer(context), len(files))]
    return sorted(
        found, key=lambda each: (each.position.file, each.position.line, each.position.column)
    )


def _told(found: Iterator[Problem], files: int) -> list[Problem]:
    """Take what one analyzer finds, so much of each file; it stops where nobody would read on."""
    told: list[Problem] = []
    rooms: dict[str, Room] = {}
    for problem in found:
        room = rooms.setdefault(problem.position.file, Room())
        if room.take(1):
            told.append(problem)
        elif sum(each.hidden for each in rooms.values()) > MAX_IN_FILE * files:
            break
    for file, room in rooms.items():
        if room.hidden:
            last = next(each for each in reversed(told) if each.position.file == file)
            text = f"more of [{last.code}] in this file is not shown"
            hint = "Repair these first; often one mistake is the cause of many."
            told.append(Problem(LIMIT, Level.WARNING, text, last.position, hint=hint))
    return told


__all__ = ["ANALYZERS", "Analyzer", "Context", "analyze"]
