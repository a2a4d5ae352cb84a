"""KIT0111, KIT0112: mTLS that is not enforced, and policies that trust it.

PERMISSIVE, the default, takes plain text as well, so a PeerAuthentication that says PERMISSIVE
(as the tutorial's ``enable-mtls.yml`` does) changes nothing.  A principal comes from the client's
certificate: a caller in plain text has none, so a DENY by principal does not meet it.
"""

from __future__ import annotations

from collections.abc import Iterator

from mesh.istio.analyze.context import Context
from mesh.istio.analyze.hosts import HostSet
from mesh.istio.models.authorization_policy import AuthorizationPolicy, Source
from mesh.istio.models.legacy_authentication import Policy
from mesh.istio.models.peer_authentication import PeerAuthentication
from mesh.istio.problem import Level, Problem
from mesh.istio.resource import Resource
from mesh.topology import ROOT_NAMESPACE


def permissive(context: Context) -> Iterator[Problem]:
    """Find policies that state the default where a stricter word was meant."""
    for resource, spec in _peers(context):
        if spec.mtls is None or spec.mtls.mode != "PERMISSIVE":
            continue
        labels = spec.selector.match_labels if spec.selector else None
        if _broader(context, resource, labels) == "STRICT":
            continue
        yield _permissive(resource, "spec.mtls.mode", "`mtls: {mode: STRICT}`")
    for kind in ("Policy", "MeshPolicy"):
        for resource in context.by_kind.get(kind, ()):
            if not isinstance(resource.spec, Policy):
                continue
            for index, peer in enumerate(resource.spec.peers or ()):
                if peer.mtls is not None and peer.mtls.mode == "PERMISSIVE":
                    path = f"spec.peers[{index}].mtls.mode"
                    yield _permissive(resource, path, "`mtls: {}`, which is STRICT")


def _permissive(resource: Resource, path: str, right: str) -> Problem:
    return resource.problem(
        "KIT0111",
        Level.WARNING,
        "PERMISSIVE accepts plain text too: callers without a certificate are still served",
        path,
        expected="STRICT",
        hint=f"To enforce mTLS write {right}; PERMISSIVE is for the time of a migration.",
    )


def principals(context: Context) -> Iterator[Problem]:
    """Find rules about who calls where the mesh does not know who calls."""
    disabled = {
        each.host: each.resource.name
        for each in reversed(context.policies)
        if each.subset is None and each.policy.tls and each.policy.tls.mode == "DISABLE"
    }
    hosts = HostSet(disabled)
    for resource in context.by_kind.get("AuthorizationPolicy", ()):
        spec = resource.spec
        if not isinstance(spec, AuthorizationPolicy):
            continue
        selector = getattr(spec, "selector", None)
        labels = selector.match_labels if selector else None
        mode = effective_mode(context, resource.namespace, labels)
        action = getattr(spec, "action", None) or "ALLOW"
        plain = _plain_text_rule(disabled, hosts, resource.namespace)
        for index, rule in enumerate(spec.rules or ()):
            for number, each in enumerate(rule.from_ or ()):
                name = _identity(each.source)
                if not name:
                    continue
                path = f"spec.rules[{index}].from[{number}].source.{name}"
                if mode == "DISABLE" or plain:
                    why = "PeerAuthentication DISABLE" if mode == "DISABLE" else plain
                    effect = "never holds" if not name.startswith("not") else "always holds"
                    yield resource.problem(
                        "KIT0112",
                        Level.WARNING,
                        f"{name} are read from the client's certificate, and {why} turns mTLS "
                        f"off: the condition {effect}",
                        path,
                        hint="Set PeerAuthentication to STRICT and the client's tls mode to "
                        "ISTIO_MUTUAL (or leave it out).",
                    )
                elif mode != "STRICT" and (action == "DENY") != name.startswith("not"):
                    yield resource.problem(
                        "KIT0112",
                        Level.WARNING,
                        f"{action} by {name} without STRICT mTLS: a caller in plain text has no "
                        "principal, so this rule does not stop it",
                        path,
                        hint="Add a PeerAuthentication with `mtls: {mode: STRICT}` for this "
                        "namespace.",
                    )


def _identity(source: Source | None) -> str:
    if source is None:
        return ""
    names = {
        "principals": source.principals,
        "notPrincipals": source.not_principals,
        "namespaces": source.namespaces,
        "notNamespaces": source.not_namespaces,
    }
    return next((name for name, value in names.items() if value), "")


def effective_mode(context: Context, namespace: str, labels: dict[str, str] | None) -> str:
    """Return the mTLS mode of pods: the workload's policy, else the namespace's, else the mesh's."""
    return context.peer_modes.mode(namespace, labels)[0]


def _broader(context: Context, resource: Resource, labels: dict[str, str] | None) -> str:
    """Return the mode that would hold without a policy: the namespace's, else the mesh's."""
    whole = context.peer_modes.whole
    own = whole.get(resource.namespace) if labels else None
    if own is None and resource.namespace != ROOT_NAMESPACE:
        own = whole.get(ROOT_NAMESPACE)
    return own.mode if own else ""


def _peers(context: Context) -> Iterator[tuple[Resource, PeerAuthentication]]:
    for each in context.peer_modes.current:
        if isinstance(each.spec, PeerAuthentication):
            yield each, each.spec


def _plain_text_rule(disabled: dict[str, str], hosts: HostSet, namespace: str) -> str:
    """Return a DestinationRule that makes all clients of a namespace speak plain text."""
    best = hosts.best(f"any.{namespace}.svc.cluster.local")
    return f"the tls mode DISABLE of DestinationRule {disabled[best]}" if best else ""
