"""KIT0118: a policy about a caller's name that no workload has.

A principal is a text, ``cluster.local/ns/NAMESPACE/sa/SERVICE_ACCOUNT``; a name that nobody has is
accepted, and its rule never holds.  Said where a topology tells what runs.
"""

from __future__ import annotations

from collections.abc import Iterator

from mesh.istio.analyze.context import Context
from mesh.istio.analyze.pods import WORKLOADS
from mesh.istio.models.authorization_policy import AuthorizationPolicy
from mesh.istio.models.kubernetes import Deployment, Pod
from mesh.istio.nearest import listed, nearest
from mesh.istio.problem import Level, Problem
from mesh.topology import DOMAIN_SUFFIX, ROOT_NAMESPACE, Topology

_SCHEME = "spiffe://"


def unknown_identities(context: Context) -> Iterator[Problem]:
    """Find principals that are nobody's."""
    if context.topology is None:
        return
    known = _of_topology(context.topology) | _of_objects(context)
    accounts = {_account(each): each for each in sorted(known)}
    for resource in context.by_kind.get("AuthorizationPolicy", ()):
        if not isinstance(resource.spec, AuthorizationPolicy):
            continue
        for index, rule in enumerate(resource.spec.rules or ()):
            for number, each in enumerate(rule.from_ or ()):
                names = (each.source.principals if each.source else None) or ()
                for place, name in enumerate(names):
                    if name.startswith(_SCHEME) or any(_fits(who, name) for who in known):
                        continue
                    near = accounts.get(nearest(_account(name), accounts), "")
                    yield resource.problem(
                        "KIT0118",
                        Level.WARNING,
                        f"no workload has the identity {name}: this principal is nobody",
                        f"spec.rules[{index}].from[{number}].source.principals[{place}]",
                        expected=listed(known),
                        nearest=near,
                        hint=f"Did you mean {near}?" if near else f"There are {listed(known)}.",
                    )


def _fits(identity: str, pattern: str) -> bool:
    """Whether a principal of a policy is this identity; ``*`` stands at the beginning or the end."""
    if pattern.endswith("*"):
        return identity.startswith(pattern[:-1])
    if pattern.startswith("*"):
        return identity.endswith(pattern[1:])
    return identity == pattern


def _account(identity: str) -> str:
    return identity.rpartition("/")[2]


def _identity(namespace: str, account: str) -> str:
    return f"{DOMAIN_SUFFIX}/ns/{namespace}/sa/{account}"


def _of_topology(topology: Topology) -> set[str]:
    found = {
        _identity(service.namespace, workload.service_account or service.name)
        for service in topology.all_services
        for workload in service.workloads
        if workload.injected
    }
    if topology.gateway:
        found.add(_identity(ROOT_NAMESPACE, topology.gateway))
    return found


def _of_objects(context: Context) -> set[str]:
    """The identities of Deployments, their like and Pods among the resources."""
    found = set()
    for each in (one for kind in (*WORKLOADS, "Pod") for one in context.by_kind.get(kind, ())):
        pod = each.spec.template.spec if isinstance(each.spec, Deployment) else each.spec
        account = pod.service_account_name if isinstance(pod, Pod) else None
        found.add(_identity(each.namespace, account or "default"))
    return found
