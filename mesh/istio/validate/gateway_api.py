"""The rules of HTTPRoute: what the API server asks of rules, matches, filters and backends.

The texts are those of the CustomResourceDefinition's own rules, as ``kubectl apply`` prints them.
Source: kubernetes-sigs/gateway-api ``config/crd/standard`` (httproutes), ``apis/v1``.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from mesh.istio.gateway_api.matches import path_prefix
from mesh.istio.models.gateway_api import (
    BackendObjectReference,
    HTTPHeader,
    HTTPHeaderFilter,
    HTTPPathMatch,
    HTTPPathModifier,
    HTTPRequestMirrorFilter,
    HTTPRoute,
    HTTPRouteFilter,
    HTTPRouteRule,
    NameValueMatch,
    ParentReference,
)
from mesh.istio.resource import format_path
from mesh.istio.validate import names
from mesh.istio.validate.findings import Findings, Steps

HOSTNAME = re.compile(r"(\*\.)?[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*\Z")
_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+\-.^_`|~]+\Z")
_PATH = re.compile(r"(?:[-A-Za-z0-9/._~!$&'()*+,;=:@]|%[0-9a-fA-F]{2})+\Z")
_LITERAL = "when type one of ['Exact', 'PathPrefix']"
_REDIRECTS = (301, 302, 303, 307, 308)
_ONCE = (
    "RequestHeaderModifier",
    "ResponseHeaderModifier",
    "RequestRedirect",
    "URLRewrite",
    "CORS",
)
_FIELDS = {
    "RequestHeaderModifier": "requestHeaderModifier",
    "ResponseHeaderModifier": "responseHeaderModifier",
    "RequestMirror": "requestMirror",
    "RequestRedirect": "requestRedirect",
    "URLRewrite": "urlRewrite",
    "ExtensionRef": "extensionRef",
    "CORS": "cors",
}


def invalid(found: Findings, path: Steps, message: str, hint: str = "") -> None:
    """Add an error as the API server says it."""
    found.error(path, f'{format_path(path)}: Invalid value: "object": {message}', hint)


def too_many(found: Findings, path: Steps, items: Sequence[object] | None, most: int) -> None:
    """Check the length of a list."""
    if len(items or ()) > most:
        invalid(found, path, f"must have at most {most} items")


def check_http_route(spec: HTTPRoute, found: Findings) -> None:
    """Check an HTTPRoute."""
    too_many(found, ("spec", "parentRefs"), spec.parent_refs, 32)
    too_many(found, ("spec", "hostnames"), spec.hostnames, 16)
    too_many(found, ("spec", "rules"), spec.rules, 16)
    if not spec.parent_refs:
        text = "an HTTPRoute without parentRefs is attached to nothing: it has no effect"
        found.warning(("spec",), text, "Name a Gateway or a Service.", "parentRefs")
    for index, ref in enumerate(spec.parent_refs or ()):
        _check_parent(ref, ("spec", "parentRefs", index), found)
    for index, name in enumerate(spec.hostnames or ()):
        path: Steps = ("spec", "hostnames", index)
        if not HOSTNAME.match(name):
            invalid(
                found, path, f"{name} is no host name", "No port, no capitals, `*.` first only."
            )
    for index, rule in enumerate(spec.rules or ()):
        _check_rule(rule, ("spec", "rules", index), found)


def _check_parent(ref: ParentReference, path: Steps, found: Findings) -> None:
    if ref.port is not None:
        found.port((*path, "port"), ref.port)
    if ref.kind == "Service" and ref.group is None:
        text = 'kind Service of group gateway.networking.k8s.io does not exist: write `group: ""`'
        found.warning(path, text, 'A Service is of the core group: add `group: ""`.', 'group: ""')


def _check_rule(rule: HTTPRouteRule, path: Steps, found: Findings) -> None:
    too_many(found, (*path, "matches"), rule.matches, 64)
    too_many(found, (*path, "backendRefs"), rule.backend_refs, 16)
    for index, match in enumerate(rule.matches or ()):
        here: Steps = (*path, "matches", index)
        if match.path is not None:
            _check_path(match.path, (*here, "path"), found)
        _check_pairs(match.headers or (), (*here, "headers"), found)
        _check_pairs(match.query_params or (), (*here, "queryParams"), found)
    filters = rule.filters or []
    _check_filters(filters, (*path, "filters"), found)
    if rule.backend_refs and any(each.request_redirect for each in filters):
        text = "RequestRedirect filter must not be used together with backendRefs"
        invalid(found, path, text, "A redirect answers by itself: remove the backends.")
    _check_prefix_matches(rule, filters, path, found)
    for index, backend in enumerate(rule.backend_refs or ()):
        here = (*path, "backendRefs", index)
        check_backend(backend, here, found)
        if backend.weight is not None and not 0 <= backend.weight <= 1_000_000:
            found.error((*here, "weight"), f"weight {backend.weight} is not in range 0..1000000")
        _check_filters(backend.filters or [], (*here, "filters"), found)
    limits = rule.timeouts
    total, each_try = (limits.request, limits.backend_request) if limits else (None, None)
    if total and each_try and each_try > total:
        text = "backendRequest timeout cannot be longer than request timeout"
        invalid(found, (*path, "timeouts"), text)


def _check_prefix_matches(
    rule: HTTPRouteRule, filters: list[HTTPRouteFilter], path: Steps, found: Findings
) -> None:
    """``ReplacePrefixMatch`` needs the one prefix that it replaces."""
    matches = rule.matches or []
    fine = len(matches) == 1 and path_prefix(matches[0]) is not None
    if not rule.matches or fine:
        return
    for each in filters:
        owner = each.request_redirect or each.url_rewrite
        modifier = owner.path if owner else None
        if modifier is not None and modifier.type == "ReplacePrefixMatch":
            text = (
                f"When using {each.type} filter with path.replacePrefixMatch, exactly one "
                "PathPrefix match must be specified"
            )
            invalid(found, path, text, "Make a rule of its own for each prefix.")


def check_backend(ref: BackendObjectReference, path: Steps, found: Findings) -> None:
    """Check the reference to a backend."""
    if ref.port is not None:
        found.port((*path, "port"), ref.port)
    elif (ref.kind or "Service") == "Service" and not ref.group:
        invalid(found, path, "Must have port for Service reference", "Add `port:`.")


def _check_path(path: HTTPPathMatch, place: Steps, found: Findings) -> None:
    value = "/" if path.value is None else path.value
    if path.type == "RegularExpression":
        found.regex((*place, "value"), value, "path")
        return
    texts = []
    if not value.startswith("/"):
        texts.append(f"value must be an absolute path and start with '/' {_LITERAL}")
    texts += [
        f"must not contain '{part}' {_LITERAL}"
        for part in ("//", "/./", "/../", "%2f", "%2F", "#")
        if part in value
    ]
    texts += [
        f"must not end with '{end}' {_LITERAL}" for end in ("/..", "/.") if value.endswith(end)
    ]
    if value and not _PATH.match(value):
        allowed = r"^(?:[-A-Za-z0-9/._~!$&'()*+,;=:@]|[%][0-9a-fA-F]{2})+$"
        texts.append(
            f"must only contain valid characters (matching {allowed}) for types "
            "['Exact', 'PathPrefix']"
        )
    for text in texts:
        invalid(found, place, text)


def _check_pairs(pairs: Sequence[NameValueMatch], path: Steps, found: Findings) -> None:
    for index, each in enumerate(pairs):
        here: Steps = (*path, index)
        _check_name(each.name, (*here, "name"), found)
        if each.type == "RegularExpression":
            found.regex((*here, "value"), each.value, "value")


def _check_name(name: str, path: Steps, found: Findings) -> None:
    if not _NAME.match(name):
        invalid(found, path, f'"{name}" is no name of a header or query parameter')


def _check_filters(filters: list[HTTPRouteFilter], path: Steps, found: Findings) -> None:
    too_many(found, path, filters, 16)
    types: list[str] = [each.type for each in filters]
    if "RequestRedirect" in types and "URLRewrite" in types:
        text = (
            "May specify either httpRouteFilterRequestRedirect or httpRouteFilterRequestRewrite, "
            "but not both"
        )
        invalid(found, path, text)
    for name in _ONCE:
        if types.count(name) > 1:
            invalid(found, path, f"{name} filter cannot be repeated", "Join them in one.")
    in_backend = "backendRefs" in path
    for index, each in enumerate(filters):
        here: Steps = (*path, index)
        set_fields = each.to_json()
        for type_name, field in _FIELDS.items():
            if field in set_fields and each.type != type_name:
                text = f"filter.{field} must be nil if the filter.type is not {type_name}"
                invalid(found, here, text, f"Write `type: {type_name}`, or take the field out.")
        if _FIELDS[each.type] not in set_fields:
            text = f"filter.{_FIELDS[each.type]} must be specified for {each.type} filter.type"
            invalid(found, here, text)
        elif each.type == "ExtensionRef" or (in_backend and "HeaderModifier" not in each.type):
            # istiod leaves the whole route out then.
            found.error((*here, "type"), f'unsupported filter type "{each.type}"')
        else:
            _check_filter(each, here, found)


def _check_filter(each: HTTPRouteFilter, path: Steps, found: Findings) -> None:
    for field, change in (
        ("requestHeaderModifier", each.request_header_modifier),
        ("responseHeaderModifier", each.response_header_modifier),
    ):
        if change is not None:
            _check_headers(change, (*path, field), found)
    if each.request_mirror is not None:
        _check_mirror(each.request_mirror, (*path, "requestMirror"), found)
    if each.request_redirect is not None:
        here: Steps = (*path, "requestRedirect")
        code = each.request_redirect.status_code
        if code is not None and code not in _REDIRECTS:
            allowed = ", ".join(map(str, _REDIRECTS))
            text = f"Unsupported value: {code}: supported values: {allowed}"
            found.error((*here, "statusCode"), text, expected=allowed)
        if each.request_redirect.port is not None:
            found.port((*here, "port"), each.request_redirect.port)
        _check_modifier(each.request_redirect.path, (*here, "path"), found)
    if each.url_rewrite is not None:
        _check_modifier(each.url_rewrite.path, (*path, "urlRewrite", "path"), found)


def _check_mirror(mirror: HTTPRequestMirrorFilter, path: Steps, found: Findings) -> None:
    check_backend(mirror.backend_ref, (*path, "backendRef"), found)
    if mirror.percent is not None and mirror.fraction is not None:
        text = "Only one of percent or fraction may be specified in HTTPRequestMirrorFilter"
        invalid(found, path, text)
    found.percent((*path, "percent"), mirror.percent)
    fraction = mirror.fraction
    if fraction is not None:
        bottom = 100 if fraction.denominator is None else fraction.denominator
        if bottom < 1:
            invalid(found, (*path, "fraction", "denominator"), "must be at least 1")
        elif not 0 <= fraction.numerator <= bottom:
            text = "numerator must be less than or equal to denominator"
            invalid(found, (*path, "fraction"), text)


def _check_modifier(path: HTTPPathModifier | None, place: Steps, found: Findings) -> None:
    if path is None:
        return
    values = {
        "ReplaceFullPath": path.replace_full_path,
        "ReplacePrefixMatch": path.replace_prefix_match,
    }
    for name, value in values.items():
        field = name[0].lower() + name[1:]
        if path.type == name and value is None:
            invalid(found, place, f"{field} must be specified when type is set to '{name}'")
        elif path.type != name and value is not None:
            invalid(found, place, f"type must be '{name}' when {field} is set")


def _check_headers(change: HTTPHeaderFilter, path: Steps, found: Findings) -> None:
    groups: tuple[tuple[str, Sequence[HTTPHeader]], ...] = (
        ("set", change.set or ()),
        ("add", change.add or ()),
    )
    for field, headers in groups:
        for index, each in enumerate(headers):
            here: Steps = (*path, field, index)
            _check_name(each.name, (*here, "name"), found)
            found.check((*here, "value"), names.header_value_error(each.value))
    for index, header in enumerate(change.remove or ()):
        _check_name(header, (*path, "remove", index), found)
