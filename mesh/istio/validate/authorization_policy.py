"""The rules of AuthorizationPolicy.

Source: istio/istio ``pkg/config/validation/validation.go`` ValidateAuthorizationPolicy and
``pkg/config/security/security.go``.
"""

from __future__ import annotations

from mesh.istio.models.authorization_policy import (
    DRY_RUN,
    AuthorizationPolicy,
    Condition,
    Operation,
    Rule,
    Source,
)
from mesh.istio.models.base import fields_of
from mesh.istio.validate import names
from mesh.istio.validate.findings import Findings, Steps

_CUSTOM_FROM = (
    "namespaces",
    "notNamespaces",
    "principals",
    "notPrincipals",
    "requestPrincipals",
    "notRequestPrincipals",
)
_HTTP_ONLY = frozenset(("requestPrincipals", "notRequestPrincipals"))
_KEYS = (
    "source.ip",
    "remote.ip",
    "source.namespace",
    "source.principal",
    "request.auth.principal",
    "request.auth.audiences",
    "request.auth.presenter",
    "destination.ip",
    "destination.port",
    "connection.sni",
    "source.serviceAccount",
    "source.trustDomain",
)
_BOOLEANS = frozenset(
    ["1", "t", "T", "TRUE", "true", "True", "0", "f", "F", "FALSE", "false", "False"]
)
"""What Go's ParseBool reads."""
_KEY_PREFIXES = ("request.headers[", "request.auth.claims[", "experimental.envoy.filters.")


def check_authorization_policy(spec: AuthorizationPolicy, found: Findings) -> None:
    """Check an AuthorizationPolicy."""
    found.policy_target(spec.selector, spec.target_ref, spec.target_refs)
    action = spec.action or "ALLOW"
    if action in ("CUSTOM", "DENY") and spec.rules is None:
        text = (
            f"{action} action without `rules` is meaningless as it will never be triggered, "
            "add an empty rule `{}` if you want it be triggered for every request"
        )
        found.error(("spec",), text, "Write `rules: [{}]`.", "rules")
    if action == "CUSTOM" and spec.rules is not None and not (spec.provider and spec.provider.name):
        found.error(("spec", "provider"), "`provider.name` must not be empty")
    if action != "CUSTOM" and spec.provider is not None:
        text = f"`provider` must not be with non CUSTOM action, found {action}"
        found.error(("spec", "provider"), text)
    for index, rule in enumerate(spec.rules or []):
        _check_rule(rule, index, action, ("spec", "rules", index), found)
    _check_trial(action, found)


def _check_trial(action: str, found: Findings) -> None:
    """Check ``istio.io/dry-run``, the annotation by which a policy is only tried."""
    value = found.resource.annotations.get(DRY_RUN)
    if value is None or found.era.release < (1, 12):
        return
    path: Steps = ("metadata", "annotations", DRY_RUN)
    name = f"{found.resource.namespace}/{found.resource.name}"
    if action not in ("ALLOW", "DENY"):
        text = f"the annotation {DRY_RUN} currently only supports action ALLOW/DENY, found action {action} in {name}"
        found.error(path, text)
    elif value not in _BOOLEANS:
        text = (
            f"{name} has annotation {DRY_RUN} with invalid value ({value}): strconv.ParseBool: "
            f'parsing "{value}": invalid syntax'
        )
        found.error(path, text, expected="true, false")


def check_no_trial(found: Findings) -> None:
    """Check that no other kind carries the annotation: nobody would read it."""
    if DRY_RUN in found.resource.annotations and found.era.release >= (1, 12):
        name = f"{found.resource.namespace}/{found.resource.name}"
        text = f"{name} has unsupported annotation {DRY_RUN}, please remove the annotation"
        found.error(("metadata", "annotations", DRY_RUN), text)


def _check_rule(rule: Rule, index: int, action: str, path: Steps, found: Findings) -> None:
    has_from = has_to = tcp_from = tcp_to = False
    for field, items in (("from", rule.from_), ("to", rule.to)):
        if items is not None and not items:
            found.error((*path, field), f"`{field}` must not be empty, found at rule {index}")
    for number, each in enumerate(rule.from_ or []):
        here: Steps = (*path, "from", number)
        if each.source is None:
            found.error(here, f"`from.source` must not be nil, found at rule {index}")
            continue
        has_from = True
        _check_source(each.source, index, action, (*here, "source"), found)
        tcp_from |= bool(_set_fields(each.source).keys() - _HTTP_ONLY)
    for number, to in enumerate(rule.to or []):
        here = (*path, "to", number)
        if to.operation is None:
            found.error(here, f"`to.operation` must not be nil, found at rule {index}")
            continue
        has_to = True
        _check_operation(to.operation, index, (*here, "operation"), found)
        tcp_to |= to.operation.ports is not None or to.operation.not_ports is not None
    for number, condition in enumerate(rule.when or []):
        _check_condition(condition, action, (*path, "when", number), found)
    http_only = (has_from and not has_to and not tcp_from) or (has_to and not tcp_to)
    if http_only and action == "DENY":
        text = (
            "configured AuthorizationPolicy will deny all traffic to TCP ports under its scope due "
            "to the use of only HTTP attributes in a DENY rule; it is recommended to explicitly "
            "specify the port"
        )
        found.warning(path, text, "Add `ports:` to the operation.")


def _set_fields(part: Source | Operation) -> dict[str, list[str]]:
    """Return the lists of a source or operation that are there, by their names in YAML."""
    data = part.model_dump(by_alias=True, exclude_none=True)
    return {name: data[name] for name in fields_of(type(part)) if name in data}


def _check_lists(
    part: Source | Operation, name: str, index: int, path: Steps, found: Findings
) -> None:
    fields = _set_fields(part)
    if not any(fields.values()):
        found.error(path, f"`{name}` must not be empty, found at rule {index}")
    for field, values in fields.items():
        said = field[0].upper() + field[1:]
        for number, value in enumerate(values):
            if not value:
                text = f"`{said}` value must not be empty"
                found.error((*path, field, number), text)


def _check_source(source: Source, index: int, action: str, path: Steps, found: Findings) -> None:
    _check_lists(source, "from.source", index, path, found)
    names_of = (
        source.principals,
        source.not_principals,
        source.namespaces,
        source.not_namespaces,
    )
    if any(names_of) and (source.service_accounts or source.not_service_accounts):
        text = f"cannot set serviceAccounts with namespaces or principals, found at rule {index}"
        found.error((*path, "serviceAccounts"), text, "Keep one of the two.")
    for field, values in _set_fields(source).items():
        if "pBlocks" in field:
            for number, value in enumerate(values):
                found.check((*path, field, number), names.subnet_error(value))
        if action == "CUSTOM" and field in _CUSTOM_FROM and values:
            said = field[0].upper() + field[1:]
            text = f"From.{said} is currently not supported with CUSTOM action"
            found.error((*path, field), text)
    for number, principal in enumerate(source.principals or []):
        if principal.startswith("spiffe://"):
            text = f"principal {principal} has the scheme spiffe://, which Istio adds by itself"
            hint = f"Write {principal.removeprefix('spiffe://')}."
            found.warning((*path, "principals", number), text, hint)


def _check_operation(operation: Operation, index: int, path: Steps, found: Findings) -> None:
    _check_lists(operation, "to.operation", index, path, found)
    for field, ports in (("ports", operation.ports), ("notPorts", operation.not_ports)):
        for number, port in enumerate(ports or []):
            here: Steps = (*path, field, number)
            if not (port.isascii() and port.isdecimal() and 1 <= int(port[:9]) <= 65535):
                found.error(here, f"invalid port {port}", expected='"1".."65535"')
    for field, paths in (("paths", operation.paths), ("notPaths", operation.not_paths)):
        for number, value in enumerate(paths or []):
            if value and value[0] not in "/*":
                text = f"path {value} matches nothing: a request's path starts with /"
                found.warning((*path, field, number), text, f"Write /{value}.")


def _check_condition(condition: Condition, action: str, path: Steps, found: Findings) -> None:
    key = condition.key
    if not key:
        found.error((*path, "key"), "`key` must not be empty")
        return
    if not condition.values and not condition.not_values:
        text = f"at least one of `values` or `notValues` must be set for key {key}"
        found.error(path, text, expected="values, notValues")
        return
    if key not in _KEYS and not key.startswith(_KEY_PREFIXES):
        text = f"invalid `value` for `key` {key}: unknown attribute: {key}"
        expected = ", ".join((*_KEYS, "request.headers[NAME]", "request.auth.claims[NAME]"))
        found.error((*path, "key"), text, expected=expected)
    if action == "CUSTOM" and (
        key in ("source.namespace", "source.principal") or key.startswith("request.auth.")
    ):
        text = f"{key} is currently not supported with CUSTOM action"
        found.error((*path, "key"), text)
    for field, values in (("values", condition.values), ("notValues", condition.not_values)):
        for number, value in enumerate(values or []):
            wrong = ""
            if not value:
                wrong = f"`{key}` value must not be empty"
            elif key in ("source.ip", "destination.ip", "remote.ip"):
                wrong = names.subnet_error(value)
            elif key == "destination.port":
                fits = value.isascii() and value.isdecimal() and 1 <= int(value[:9]) <= 65535
                wrong = "" if fits else f"invalid port {value}"
            if wrong:
                text = f"invalid `{field[:-1]}` for `key` {key}: {wrong}"
                found.error((*path, field, number), text)
