"""Policy and MeshPolicy (until Istio 1.5) as PeerAuthentication and RequestAuthentication.

``peers`` say how a workload proves who calls: mTLS.  ``origins`` say how the end user does: a
token.  A request without a token was refused by a Policy with origins, and is let through by a
RequestAuthentication alone, so an AuthorizationPolicy that wants a principal goes with it.
Source: istio.io, "Change in security policies"; istio/api 1.4.0 ``authentication/v1alpha1``.
"""

from __future__ import annotations

from typing import Any

from mesh.istio.models.legacy_authentication import Jwt, Policy, TargetSelector
from mesh.istio.resource import Resource
from mesh.kubernetes.convert.converted import Converted, document
from mesh.topology import ROOT_NAMESPACE

KINDS = ("Policy", "MeshPolicy")
_SECURITY = "security.istio.io/v1"


def convert(resource: Resource, done: Converted) -> None:
    """Write what a Policy says in today's words."""
    spec = resource.spec
    if not isinstance(spec, Policy):
        return
    mesh_wide = resource.kind == "MeshPolicy"
    namespace = ROOT_NAMESPACE if mesh_wide else resource.namespace
    targets: list[TargetSelector | None] = [*(spec.targets or [])] or [None]
    for target in targets:
        name = resource.name if target is None else f"{resource.name}-{target.name}"
        selector = {"app": target.name, **(target.labels or {})} if target else None
        _peers(resource, spec, name, namespace, selector, target, done)
        _origins(resource, spec, name, namespace, selector, done)


def _peers(
    resource: Resource,
    spec: Policy,
    name: str,
    namespace: str,
    selector: dict[str, str] | None,
    target: TargetSelector | None,
    done: Converted,
) -> None:
    modes = [(each.mtls.mode or "STRICT") for each in spec.peers or () if each.mtls is not None]
    if spec.peers and not modes:
        done.refuse(
            resource,
            "tokens between workloads (peers.jwt) have no equivalent",
            "Let the application check them, or use mTLS.",
            "spec.peers",
        )
        return
    mode = "DISABLE" if not modes else "PERMISSIVE" if spec.peer_is_optional else modes[0]
    found: dict[str, Any] = {"selector": {"matchLabels": selector}} if selector else {}
    ports = [each.number for each in (target.ports if target else None) or () if each.number]
    if ports:
        found["portLevelMtls"] = {port: {"mode": mode} for port in ports}
    else:
        found["mtls"] = {"mode": mode}
    done.documents.append(document(_SECURITY, "PeerAuthentication", name, namespace, found))
    done.note(resource, f"is PeerAuthentication {namespace}/{name} with mode {mode}")


def _origins(
    resource: Resource,
    spec: Policy,
    name: str,
    namespace: str,
    selector: dict[str, str] | None,
    done: Converted,
) -> None:
    rules = [each.jwt for each in spec.origins or () if each.jwt is not None]
    if not rules:
        return
    if any(each.trigger_rules for each in rules):
        done.refuse(
            resource,
            "triggerRules (tokens for some paths only) are no part of RequestAuthentication",
            "Write an AuthorizationPolicy with `paths` that wants requestPrincipals.",
            "spec.origins",
        )
        return
    where: dict[str, Any] = {"selector": {"matchLabels": selector}} if selector else {}
    found = {**where, "jwtRules": [_rule(each) for each in rules]}
    done.documents.append(document(_SECURITY, "RequestAuthentication", name, namespace, found))
    done.note(resource, f"its origins are RequestAuthentication {namespace}/{name}")
    if not spec.origin_is_optional:
        wanted = {
            **where,
            "action": "DENY",
            "rules": [{"from": [{"source": {"notRequestPrincipals": ["*"]}}]}],
        }
        done.documents.append(
            document(_SECURITY, "AuthorizationPolicy", f"{name}-token", namespace, wanted)
        )
        done.note(resource, f"a token is a must: AuthorizationPolicy {namespace}/{name}-token")


def _rule(jwt: Jwt) -> dict[str, Any]:
    names = {
        "issuer": jwt.issuer,
        "audiences": jwt.audiences,
        "jwksUri": jwt.jwks_uri,
        "jwks": jwt.jwks,
        "fromHeaders": [{"name": each} for each in jwt.jwt_headers or ()],
        "fromParams": jwt.jwt_params,
        "forwardOriginalToken": True,
    }
    return {name: value for name, value in names.items() if value}
