"""The rules of PeerAuthentication and RequestAuthentication, and of the older Policy.

Source: istio/istio ``pkg/config/validation/validation.go`` ValidatePeerAuthentication,
validateJwtRule; 1.4.0 ``pkg/config/validation/validation.go`` ValidateAuthenticationPolicy.
"""

from __future__ import annotations

import json
from urllib.parse import urlsplit

from mesh.istio.models.legacy_authentication import Policy
from mesh.istio.models.peer_authentication import PeerAuthentication
from mesh.istio.models.request_authentication import JWTRule, RequestAuthentication
from mesh.istio.validate import names
from mesh.istio.validate.findings import Findings, Steps


def check_peer_authentication(spec: PeerAuthentication, found: Findings) -> None:
    """Check a PeerAuthentication."""
    labels = spec.selector.match_labels if spec.selector else None
    path: Steps = ("spec", "portLevelMtls")
    if spec.port_level_mtls is not None:
        if not spec.port_level_mtls:
            text = "port level mTLS, if defined, must have at least one element"
            found.error(path, text)
        elif not labels:
            text = "mesh/namespace peer authentication cannot have port level mTLS"
            found.error(path, text, "Add `selector.matchLabels`.")
    for port in spec.port_level_mtls or {}:
        if not (port.isascii() and port.isdecimal() and 1 <= int(port[:9]) <= 65535):
            found.error((*path, port), "port must be in range 1..65535", expected="1..65535")
    if spec.selector is not None:
        found.selector(("spec", "selector", "matchLabels"), labels)


def check_request_authentication(spec: RequestAuthentication, found: Findings) -> None:
    """Check a RequestAuthentication."""
    found.policy_target(spec.selector, spec.target_ref, spec.target_refs)
    for index, rule in enumerate(spec.jwt_rules or []):
        _check_jwt(rule, ("spec", "jwtRules", index), found)


def _check_jwt(rule: JWTRule, path: Steps, found: Findings) -> None:
    if found.era.release < (1, 27):
        if not rule.issuer:
            found.error((*path, "issuer"), "issuer must be set", expected="issuer")
    elif not rule.issuer and not rule.jwks_uri:
        text = "issuer or jwksUri must be non-empty string"
        found.error(path, text, expected="issuer, jwksUri")
    texts = (
        ("audiences", rule.audiences, "audience must be non-empty string"),
        ("fromParams", rule.from_params, "location query must be non-empty string"),
        ("fromCookies", rule.from_cookies, "cookie name must be non-empty string"),
    )
    for field, values, text in texts:
        for index, value in enumerate(values or []):
            if not value:
                found.error((*path, field, index), text)
    if rule.jwks_uri:
        found.check((*path, "jwksUri"), uri_error(rule.jwks_uri))
    if rule.jwks:
        found.check((*path, "jwks"), jwks_error(rule.jwks))
    for index, header in enumerate(rule.from_headers or []):
        if not header.name:
            text = "location header name must be non-empty string"
            found.error((*path, "fromHeaders", index, "name"), text)
    for index, claim in enumerate(rule.output_claim_to_headers or []):
        here: Steps = (*path, "outputClaimToHeaders", index)
        if not claim.claim or not claim.header:
            text = "outputClaimToHeaders header and claim value must be non-empty string"
            found.error(here, text)
        else:
            found.check((*here, "header"), names.header_error(claim.header))
    found.duration((*path, "timeout"), rule.timeout)


def uri_error(uri: str) -> str:
    """Check the address of a key set."""
    try:
        parts = urlsplit(uri)
        _ = parts.port
    except ValueError as error:
        return f'parse "{uri[:80]}": {error}'
    if parts.scheme not in ("http", "https"):
        return f'URI scheme "{parts.scheme}" is not supported'
    return "" if parts.hostname else f'parse "{uri[:80]}": no host in it'


def jwks_error(text: str) -> str:
    """Check a key set that is written out (RFC 7517)."""
    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as error:
        return f"jwks parse error: {error}"
    keys = data.get("keys") if isinstance(data, dict) else None
    if not isinstance(keys, list) and not (isinstance(data, dict) and "kty" in data):
        return 'jwks parse error: no "keys" in it'
    return _no_key(keys) if isinstance(keys, list) else ""


def _no_key(keys: list[object]) -> str:
    """Return why none of the keys can be used: Envoy would refuse the whole listener."""
    from joserfc.jwk import JWKRegistry  # heavy, and few files have keys

    first = ""
    for number, key in enumerate(keys):
        try:
            JWKRegistry.import_key(key)  # type: ignore[arg-type]
        except Exception as error:  # a key set is user input: whatever is wrong with it
            first = first or f"keys[{number}]: {error or type(error).__name__}"
        else:
            return ""
    return f"jwks has no key that can be used ({first or 'it has none'})"


def check_legacy_policy(spec: Policy, found: Findings) -> None:
    """Check a Policy or MeshPolicy."""
    name, default = found.resource.name, found.resource.name == "default"
    if found.resource.kind == "MeshPolicy" and (not default or spec.targets):
        where: Steps = ("spec", "targets") if default else ("metadata", "name")
        text = f"cluster-scoped authentication policy name must be default, found {name}"
        if default:
            text = "cluster-scoped authentication policy cannot have targets"
        found.error(where, text)
    elif found.resource.kind == "Policy" and default == bool(spec.targets):
        where = ("spec", "targets") if default else ("metadata", "name")
        text = "authentication policy with no target rules  must be named default, found " + name
        if default:
            text = "authentication policy with name default must not have target rules"
        found.error(where, text, "`default` without targets is for the namespace.")
    for index, target in enumerate(spec.targets or []):
        if not names.is_label(target.name):
            text = f'target name "{target.name}" must be a valid label'
            found.error(("spec", "targets", index, "name"), text, "Short names only.")
    jwts = [(("spec", "origins", i, "jwt"), each.jwt) for i, each in enumerate(spec.origins or [])]
    for path, jwt in jwts:
        if jwt is not None and not jwt.issuer:
            found.error(path, "issuer must be set")
        if jwt is not None and jwt.jwks_uri:
            found.check((*path, "jwksUri"), uri_error(jwt.jwks_uri))
