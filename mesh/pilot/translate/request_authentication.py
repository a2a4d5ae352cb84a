"""RequestAuthentication -> the JWT filter: whose tokens a workload accepts, and where they stand.

Each of ``jwtRules`` is a provider; a token may be missing, a bad one is answered 401.  Rules of several
RequestAuthentications for one workload are joined.  What a token claims is left below the key
``payload`` for AuthorizationPolicies (``requestPrincipals``, ``request.auth.claims[...]``).  Keys have to
stand in ``jwks``: ``jwksUri`` would need a way to the Internet.
Until 1.5 ``origins`` of a Policy said it, and a token was necessary.
Source: istio/istio ``pilot/pkg/security/authn/policy_applier.go`` (convertToEnvoyJwtConfig).
Shown by ``meshctl describe pod POD``.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from betterproto2 import Message
from envoy_data_plane.envoy.config.core.v3 import DataSource
from envoy_data_plane.envoy.config.route.v3 import RouteMatch
from envoy_data_plane.envoy.extensions.filters.http.jwt_authn.v3 import (
    JwtAuthentication,
    JwtClaimToHeader,
    JwtHeader,
    JwtProvider,
    JwtProviderNormalizePayload,
    JwtRequirement,
    JwtRequirementAndList,
    JwtRequirementOrList,
    RequirementRule,
)
from envoy_data_plane.google.protobuf import Empty

from mesh.istio.models import legacy_authentication as legacy
from mesh.istio.models.base import StringMatch
from mesh.istio.models.request_authentication import JWTRule, RequestAuthentication
from mesh.pilot.node import ProxyNode
from mesh.pilot.translate import messages, policy, rbac
from mesh.pilot.translate.view import MeshView
from mesh.topology import ROOT_NAMESPACE

_SPLIT = ("scope", "permission")
"""Claims that list words in one text; policies compare each word."""


def filters(view: MeshView, node: ProxyNode) -> list[tuple[str, Message]]:
    """Return the JWT filter of a node, if there is one; ValueError for keys that are not there."""
    for port in node.inbound_ports:
        old = policy.effective(view, node.namespace, node.services, port)
        if old is not None:
            return _origins(old)
    rules: list[JWTRule] = []
    for each in view.of_kind("RequestAuthentication", node.namespace, ROOT_NAMESPACE):
        spec: RequestAuthentication = each.spec
        wanted = (spec.selector.match_labels if spec.selector else None) or {}
        if each.namespace not in (node.namespace, ROOT_NAMESPACE) or spec.target_refs:
            continue
        if wanted.items() <= node.labels.items():
            for rule in spec.jwt_rules or []:
                _check_keys(rule, f"RequestAuthentication {each.namespace}/{each.name}")
                rules.append(rule)
    if not rules:
        return []
    providers = {f"origins-{number}": _provider(rule) for number, rule in enumerate(rules)}
    config = JwtAuthentication(
        providers=providers,
        rules=[RequirementRule(match=RouteMatch(prefix="/"), requires=_optional(list(providers)))],
        bypass_cors_preflight=True,
    )
    return [(rbac.JWT_FILTER, config)]


def _check_keys(rule: JWTRule | legacy.Jwt, where: str) -> None:
    if not rule.jwks:
        raise ValueError(
            f"{where}: the keys of issuer {rule.issuer or ''!r} are not given: jwksUri cannot be "
            "fetched here, write the key set into jwks."
        )


def _provider(rule: JWTRule) -> JwtProvider:
    headers: Sequence[Any] = rule.from_headers or []
    return JwtProvider(
        issuer=rule.issuer or "",
        audiences=rule.audiences or [],
        local_jwks=DataSource(inline_string=rule.jwks or ""),
        forward=bool(rule.forward_original_token),
        from_headers=[
            JwtHeader(name=each.name, value_prefix=each.prefix or "") for each in headers
        ],
        from_params=rule.from_params or [],
        from_cookies=rule.from_cookies or [],
        forward_payload_header=rule.output_payload_to_header or "",
        claim_to_headers=[
            JwtClaimToHeader(header_name=each.header, claim_name=each.claim)
            for each in rule.output_claim_to_headers or []
        ],
        payload_in_metadata=rbac.PAYLOAD,
        normalize_payload_in_metadata=JwtProviderNormalizePayload(
            space_delimited_claims=[*_SPLIT, *(rule.space_delimited_claims or [])]
        ),
    )


def _by(name: str) -> JwtRequirement:
    return JwtRequirement(provider_name=name)


def _any(requirements: Iterable[JwtRequirement]) -> JwtRequirement:
    return JwtRequirement(requires_any=JwtRequirementOrList(requirements=list(requirements)))


def _optional(names: list[str]) -> JwtRequirement:
    """Return "a token of one of these, or none": a bad one is never as good as none."""
    missing = JwtRequirement(allow_missing=Empty())
    each = [_any([_by(name), missing]) for name in names]
    if len(each) == 1:
        return each[0]
    every = JwtRequirement(requires_all=JwtRequirementAndList(requirements=each))
    return _any([*(_by(name) for name in names), every])


# Policy and MeshPolicy.


def _origins(old: legacy.Policy) -> list[tuple[str, Message]]:
    tokens = [each.jwt for each in old.origins or [] if each.jwt is not None]
    if not tokens:
        return []
    for token in tokens:
        _check_keys(token, "Policy")
    providers = {
        f"origins-{number}": _provider(
            JWTRule(
                issuer=token.issuer,
                audiences=token.audiences,
                jwks=token.jwks,
                from_headers=_headers(token.jwt_headers),
                from_params=token.jwt_params,
                forward_original_token=True,
            )
        )
        for number, token in enumerate(tokens)
    }
    optional = bool(old.origin_is_optional)
    requires = _optional(list(providers)) if optional else _any(_by(each) for each in providers)
    rules = [
        RequirementRule(match=match)
        for trigger in tokens[0].trigger_rules or []
        for match in map(_match, trigger.excluded_paths or [])
    ]
    included = [
        path for trigger in tokens[0].trigger_rules or [] for path in trigger.included_paths or []
    ]
    matches = [_match(path) for path in included] or [RouteMatch(prefix="/")]
    rules += [RequirementRule(match=match, requires=requires) for match in matches]
    config = JwtAuthentication(providers=providers, rules=rules, bypass_cors_preflight=True)
    return [(rbac.JWT_FILTER, config)]


def _headers(names: list[str] | None) -> Any:
    return [{"name": name} for name in names] if names else None


def _match(path: StringMatch) -> RouteMatch:
    if path.exact is not None:
        return RouteMatch(path=path.exact)
    if path.prefix is not None:
        return RouteMatch(prefix=path.prefix)
    return RouteMatch(safe_regex=messages.regex(path.regex or ".*"))
