"""The rules of one HTTP rule of a VirtualService: match, actions, faults, retries, mirrors.

Source: istio/istio ``pkg/config/validation/virtualservice.go`` and ``validation.go``.
"""

from __future__ import annotations

from http import HTTPStatus

from mesh.istio.models.base import StringMatch
from mesh.istio.models.virtual_service import (
    GRPC_STATUS,
    CorsPolicy,
    Headers,
    HTTPFaultInjection,
    HTTPMatchRequest,
    HTTPRetry,
    HTTPRoute,
    Percent,
)
from mesh.istio.nearest import nearest
from mesh.istio.validate import names
from mesh.istio.validate.destinations import (
    check_destination,
    check_destinations,
    check_gateway_name,
)
from mesh.istio.validate.findings import Findings, Steps
from mesh.istio.validate.http_actions import check_answers, check_conflicts, check_rewrite

RETRY_ON = [
    "5xx",
    "gateway-error",
    "reset",
    "reset-before-request",
    "connect-failure",
    "retriable-4xx",
    "refused-stream",
    "retriable-status-codes",
    "retriable-headers",
    "envoy-ratelimited",
    "http3-post-connect-failure",
    "cancelled",
    "deadline-exceeded",
    "internal",
    "resource-exhausted",
    "unavailable",
]
_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "CONNECT", "OPTIONS", "TRACE")
_STATUS_CODES = frozenset(str(int(status)) for status in HTTPStatus)


def check_http_route(route: HTTPRoute, path: Steps, delegate: bool, found: Findings) -> None:
    """Check one rule; ``delegate`` when its VirtualService has no hosts."""
    check_conflicts(route, path, delegate, found)
    root = route.delegate is not None
    for index, match in enumerate(route.match or []):
        old = found.era.release < (1, 15)  # regular expressions are delegated since
        check_match(match, (*path, "match", index), old and (delegate or root), found)
    check_headers(route.headers, (*path, "headers"), found)
    if route.cors_policy is not None:
        _check_cors(route.cors_policy, (*path, "corsPolicy"), found)
    if route.fault is not None:
        _check_fault(route.fault, (*path, "fault"), found)
    _check_mirror(route, path, found)
    check_answers(route, path, found)
    if route.retries is not None:
        _check_retries(route.retries, (*path, "retries"), found)
    check_rewrite(route, path, found)
    for index, each in enumerate(route.route or []):
        check_headers(each.headers, (*path, "route", index, "headers"), found)
    check_destinations(route.route or [], (*path, "route"), found)
    found.duration((*path, "timeout"), route.timeout)


def check_match(match: HTTPMatchRequest, path: Steps, delegating: bool, found: Findings) -> None:
    """Check one block of conditions."""
    singles = (
        ("uri", match.uri, "url"),
        ("scheme", match.scheme, "scheme"),
        ("method", match.method, "method"),
        ("authority", match.authority, "authority"),
    )
    for field, value, said in singles:
        if value is None:
            continue
        if delegating and value.regex is not None:
            text = f"{said} match does not support regex match for delegating"
            found.error((*path, field, "regex"), text)
            continue
        _check_string(value, (*path, field), field, field == "uri", found)
    maps = (
        ("headers", match.headers),
        ("withoutHeaders", match.without_headers),
        ("queryParams", match.query_params),
    )
    for field, values in maps:
        for name, value in (values or {}).items():
            here: Steps = (*path, field, name)
            if field != "queryParams":
                found.check(here, names.header_error(name, claims=True))
            if delegating and value.regex is not None:
                text = f"{field} match does not support regex match for delegating"
                found.error((*here, "regex"), text)
                continue
            # For Istio a lone star is no expression here: the header is there, whatever it says.
            if field == "withoutHeaders" and value.regex == "*":
                continue
            _check_string(value, here, field, False, found)
    if match.port:
        found.port((*path, "port"), match.port)
    found.labels((*path, "sourceLabels"), match.source_labels)
    for index, name in enumerate(match.gateways or []):
        check_gateway_name(name, (*path, "gateways", index), found)
    if match.source_namespace and not names.is_label(match.source_namespace):
        text = f"sourceNamespace match {match.source_namespace} is invalid"
        found.error((*path, "sourceNamespace"), text)


def _check_string(
    value: StringMatch, path: Steps, where: str, empty_prefix: bool, found: Findings
) -> None:
    kinds = [name for name in ("exact", "prefix", "regex") if getattr(value, name) is not None]
    if len(kinds) > 1:
        text = f"{where}: only one of exact, prefix, regex may be set, found {', '.join(kinds)}"
        found.error(path, text, "Keep one of them.")
        return
    if value.prefix == "" and not empty_prefix:
        text = f'"{where}": prefix string match should not be empty'
        found.error((*path, "prefix"), text, "For `there at all` write `{}`.")
    if value.regex is not None:
        found.regex((*path, "regex"), value.regex, where)


def check_headers(headers: Headers | None, path: Steps, found: Findings) -> None:
    """Check the header operations of a rule or of a destination."""
    if headers is None:
        return
    sides = (("request", headers.request, True), ("response", headers.response, False))
    for side, operations, authority in sides:
        if operations is None:
            continue
        for verb, values in (("add", operations.add), ("set", operations.set)):
            for name, value in (values or {}).items():
                here: Steps = (*path, side, verb, name)
                found.check(here, names.header_operation_error(name, authority))
                found.check(here, names.header_value_error(value))
        for index, name in enumerate(operations.remove or []):
            place: Steps = (*path, side, "remove", index)
            found.check(place, names.header_operation_error(name, authority=False))


def _check_cors(policy: CorsPolicy, path: Steps, found: Findings) -> None:
    for index, origin in enumerate(policy.allow_origins or []):
        here: Steps = (*path, "allowOrigins", index)
        if not (origin.exact or origin.prefix or origin.regex):
            found.error(here, "'' is not a valid match type for CORS allow origins")
        elif origin.regex:
            found.regex((*here, "regex"), origin.regex, "corsPolicy.allowOrigins")
    for index, method in enumerate(policy.allow_methods or []):
        if method not in _METHODS:
            text = f'"{method}" is not a supported HTTP method'
            found.error((*path, "allowMethods", index), text, expected=", ".join(_METHODS))
    for field, headers in (
        ("allowHeaders", policy.allow_headers),
        ("exposeHeaders", policy.expose_headers),
    ):
        for index, name in enumerate(headers or []):
            found.check((*path, field, index), names.header_error(name, star=True))
    found.duration((*path, "maxAge"), policy.max_age)
    if policy.max_age is not None and policy.max_age.microseconds:
        text = "max_age duration is accurate only to seconds precision"
        found.error((*path, "maxAge"), text)


def _check_percentage(value: Percent | None, path: Steps, found: Findings) -> None:
    if value is None or value.value is None:
        return
    number = value.value
    if number < 0 or number > 100 or 0 < number < 0.0001:
        text = f"percentage {number:g} is neither 0.0, nor in range [0.0001, 100.0]"
        found.error((*path, "percentage", "value"), text, expected="0.0, or 0.0001 to 100.0")


def _check_fault(fault: HTTPFaultInjection, path: Steps, found: Findings) -> None:
    if fault.abort is None and fault.delay is None:
        text = "HTTP fault injection must have an abort and/or a delay"
        found.error(path, text, expected="abort, delay")
    if fault.abort is not None:
        abort, here = fault.abort, (*path, "abort")
        _check_percentage(abort.percentage, here, found)
        found.percent((*here, "percent"), abort.percent)
        if abort.grpc_status is not None and abort.grpc_status not in GRPC_STATUS:
            text = (
                f'gRPC status "{abort.grpc_status}" is not supported. See '
                "https://github.com/grpc/grpc/blob/master/doc/statuscodes.md for a list of "
                "supported codes, for example 'NOT_FOUND'"
            )
            found.error((*here, "grpcStatus"), text, expected=", ".join(GRPC_STATUS))
        if abort.http2_error is not None:
            text = "HTTP/2 abort fault injection not supported yet"
            found.error((*here, "http2Error"), text)
        if abort.http_status is not None and not 200 <= abort.http_status <= 600:
            text = f"HTTP status {abort.http_status} is not in range 200-599"
            found.error((*here, "httpStatus"), text, expected="200-599")
        if not {"http_status", "grpc_status", "http2_error"} & abort.model_fields_set:
            found.warning(here, "abort configured, but error type not set", "Add `httpStatus:`.")
    if fault.delay is not None:
        delay, here = fault.delay, (*path, "delay")
        _check_percentage(delay.percentage, here, found)
        found.percent((*here, "percent"), delay.percent)
        found.duration((*here, "fixedDelay"), delay.fixed_delay)
        if delay.exponential_delay is not None:
            found.duration((*here, "exponentialDelay"), delay.exponential_delay)
            found.error((*here, "exponentialDelay"), "exponentialDelay not supported yet")


def _check_mirror(route: HTTPRoute, path: Steps, found: Findings) -> None:
    if route.mirror_percent is not None:
        here: Steps = (*path, "mirrorPercent")
        if route.mirror_percent > 100:
            text = f"mirror_percent must have a max value of 100 (it has {route.mirror_percent})"
            found.error(here, text, expected="0..100")
        if found.era.release >= (1, 5):
            text = 'using deprecated setting "mirrorPercent", use "mirrorPercentage" instead'
            found.warning(here, text, expected="mirrorPercentage")
    _check_mirror_percentage(
        route.mirror_percentage, "mirror_percentage", (*path, "mirrorPercentage"), found
    )
    if route.mirror is not None:
        check_destination(route.mirror, (*path, "mirror"), found)
    for index, mirror in enumerate(route.mirrors or []):
        here = (*path, "mirrors", index)
        check_destination(mirror.destination, (*here, "destination"), found)
        percentage = (*here, "percentage")
        _check_mirror_percentage(mirror.percentage, "mirror percentage", percentage, found)


def _check_mirror_percentage(
    value: Percent | None, name: str, path: Steps, found: Findings
) -> None:
    if value is None or value.value is None:
        return
    if value.value > 100:
        text = f"{name} must have a max value of 100 (it has {value.value:f})"
        found.error((*path, "value"), text, expected="0..100")
    if value.value < 0:
        text = f"{name} must have a min value of 0 (it has {value.value:f})"
        found.error((*path, "value"), text, expected="0..100")


def _check_retries(retries: HTTPRetry, path: Steps, found: Findings) -> None:
    attempts = retries.attempts or 0
    if attempts < 0:
        found.error((*path, "attempts"), "attempts cannot be negative", expected="0 or more")
    if attempts == 0 and (
        retries.per_try_timeout is not None
        or retries.retry_on
        or retries.retry_remote_localities is not None
    ):
        text = "http retry policy configured when attempts are set to 0 (disabled)"
        found.error(path, text, "Add `attempts:`, the number of further tries.")
    found.duration((*path, "perTryTimeout"), retries.per_try_timeout)
    found.duration((*path, "backoff"), retries.backoff)
    for token in retries.retry_on.split(",") if retries.retry_on else ():
        if token not in RETRY_ON and token not in _STATUS_CODES:
            near = nearest(token.strip().lower(), RETRY_ON)
            hint = f"Did you mean {near}?" if near else ""
            if token.strip() in RETRY_ON:
                hint = "Take the space out."
            text = f'"{token}" is not a valid retryOn policy'
            found.error((*path, "retryOn"), text, hint, ", ".join(RETRY_ON), near)
