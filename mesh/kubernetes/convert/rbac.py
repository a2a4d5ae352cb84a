"""ServiceRole, ServiceRoleBinding and ClusterRbacConfig (until Istio 1.5) as AuthorizationPolicy.

The config says where all is denied that no role allows: an AuthorizationPolicy without rules.
Each rule of a role, for each service, with the subjects of its bindings, is an ALLOW policy: a
policy selects pods by label, where a role named a Service.
Source: istio.io, "AuthorizationPolicy migration"; istio/api 1.4.0 ``rbac/v1alpha1/rbac.proto``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mesh.istio.models.legacy_rbac import (
    AccessRule,
    RbacConfig,
    RbacTarget,
    ServiceRole,
    ServiceRoleBinding,
    Subject,
)
from mesh.istio.resource import Resource
from mesh.kubernetes.convert.converted import Converted, document
from mesh.topology import ROOT_NAMESPACE

KINDS = ("ServiceRole", "ServiceRoleBinding", "ClusterRbacConfig", "RbacConfig")
_POLICY = "security.istio.io/v1", "AuthorizationPolicy"
_SOURCES = {
    "source.namespace": "namespaces",
    "source.principal": "principals",
    "source.user": "principals",
    "request.auth.principal": "requestPrincipals",
    "source.ip": "ipBlocks",
}
_FIELDS = {
    "names": "principals",
    "not_names": "notPrincipals",
    "namespaces": "namespaces",
    "not_namespaces": "notNamespaces",
    "ips": "ipBlocks",
    "not_ips": "notIpBlocks",
}


def convert(resources: Sequence[Resource], done: Converted) -> None:
    """Write the policies of all roles, bindings and configs together."""
    for resource in resources:
        if isinstance(resource.spec, RbacConfig):
            _config(resource, resource.spec, done)
    roles = {
        (each.namespace, each.name): each
        for each in resources
        if isinstance(each.spec, ServiceRole)
    }
    for resource in resources:
        spec = resource.spec
        if not isinstance(spec, ServiceRoleBinding):
            continue
        name = (spec.role_ref.name if spec.role_ref else spec.role) or ""
        role = roles.pop((resource.namespace, name), None) or next(
            (
                each
                for each in resources
                if isinstance(each.spec, ServiceRole) and each.name == name
            ),
            None,
        )
        if role is None:
            hint = f"Write the ServiceRole {name}, or name another."
            done.refuse(resource, f'the role "{name}" is not there', hint, "spec.roleRef")
        elif not spec.subjects:
            done.note(resource, "it names nobody; it is left out", "spec")
        elif spec.mode == "PERMISSIVE":
            done.note(resource, "mode PERMISSIVE only logged; it is left out")
        else:
            _binding(resource, spec, role, done)
    for role in roles.values():
        done.note(role, "no binding gives this role to anybody; it is left out")


def _config(resource: Resource, spec: RbacConfig, done: Converted) -> None:
    mode = spec.mode or "OFF"
    if mode == "OFF" or spec.enforcement_mode == "PERMISSIVE":
        done.note(resource, "nothing is enforced, so nothing is written")
        return
    if mode == "ON_WITH_INCLUSION":
        for namespace, selector in _targets(resource, spec.inclusion, done):
            _deny_by_default(resource, namespace, selector, done)
        return
    _deny_by_default(resource, ROOT_NAMESPACE, "", done)
    if mode == "ON_WITH_EXCLUSION":
        for namespace, selector in _targets(resource, spec.exclusion, done):
            name = f"rbac-excluded{'-' + selector if selector else ''}"
            rule = {**_select(selector), "rules": [{}]}
            done.documents.append(document(*_POLICY, name, namespace, rule))
            done.note(resource, f"excluded: AuthorizationPolicy {namespace}/{name} allows all")


def _targets(
    resource: Resource, target: RbacTarget | None, done: Converted
) -> list[tuple[str, str]]:
    """Return pairs of namespace and app label (``""``: the whole namespace)."""
    found = [(each, "") for each in (target.namespaces if target else None) or ()]
    for host in (target.services if target else None) or ():
        name, _, rest = host.partition(".")
        namespace = rest.partition(".")[0] or resource.namespace
        if "*" in name:
            hint = "Name the services one by one, or the namespace."
            done.refuse(resource, f'the pattern "{host}" selects no label', hint, "spec")
        else:
            found.append((namespace, name))
    return found


def _deny_by_default(resource: Resource, namespace: str, app: str, done: Converted) -> None:
    name = f"rbac-deny-by-default{'-' + app if app else ''}"
    done.documents.append(document(*_POLICY, name, namespace, _select(app)))
    done.note(resource, f"denies by default: AuthorizationPolicy {namespace}/{name} without rules")


def _select(app: str) -> dict[str, Any]:
    return {"selector": {"matchLabels": {"app": app}}} if app else {}


def _binding(resource: Resource, spec: ServiceRoleBinding, role: Resource, done: Converted) -> None:
    assert isinstance(role.spec, ServiceRole)
    number = 0
    for index, rule in enumerate(role.spec.rules or ()):
        for host in rule.services:
            app = "" if host == "*" else host.partition(".")[0]
            if "*" in app or rule.hosts or rule.not_hosts:
                text = f'the rule for "{host}" selects services by a pattern or hosts'
                hint = "Name one service, or `*` for all of the namespace."
                done.refuse(role, text, hint, f"spec.rules[{index}]")
                continue
            sources, conditions = _subjects(resource, spec.subjects or [], done)
            allow: dict[str, Any] = {}
            if sources:
                allow["from"] = sources
            operation = _operation(rule)
            if operation:
                allow["to"] = [{"operation": operation}]
            conditions += [
                {"key": each.key or "", "values": each.values or []}
                for each in rule.constraints or ()
            ]
            if conditions:
                allow["when"] = conditions
            number += 1
            name = resource.name if number == 1 else f"{resource.name}-{number}"
            policy = {**_select(app), "action": "ALLOW", "rules": [allow]}
            done.documents.append(document(*_POLICY, name, resource.namespace, policy))
            done.note(
                resource,
                f"with role {role.name} is AuthorizationPolicy {resource.namespace}/{name} "
                f"for {'the pods with app=' + app if app else 'all pods of the namespace'}",
            )


def _operation(rule: AccessRule) -> dict[str, Any]:
    parts: dict[str, list[str] | None] = {
        "methods": None if rule.methods == ["*"] else rule.methods,
        "notMethods": rule.not_methods,
        "paths": None if rule.paths == ["*"] else rule.paths,
        "notPaths": rule.not_paths,
        "ports": [str(each) for each in rule.ports or ()],
        "notPorts": [str(each) for each in rule.not_ports or ()],
    }
    return {name: value for name, value in parts.items() if value}


def _subjects(
    resource: Resource, subjects: list[Subject], done: Converted
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Return ``from`` and ``when``; both empty: anybody.  Conditions need a single subject."""
    sources: list[dict[str, Any]] = []
    conditions: list[dict[str, Any]] = []
    for index, subject in enumerate(subjects):
        source: dict[str, Any] = {}
        own: list[dict[str, Any]] = []
        if subject.user and subject.user != "*":
            source["principals"] = [subject.user]
        for field, name in _FIELDS.items():
            if getattr(subject, field):
                source[name] = list(getattr(subject, field))
        groups = [*(subject.groups or ()), *([subject.group] if subject.group else [])]
        if groups:
            own.append({"key": "request.auth.claims[groups]", "values": groups})
        if subject.not_groups:
            own.append({"key": "request.auth.claims[groups]", "notValues": subject.not_groups})
        for key, value in (subject.properties or {}).items():
            if key in _SOURCES:
                source.setdefault(_SOURCES[key], []).append(value)
            elif key.startswith(("request.headers[", "request.auth.")):
                own.append({"key": key, "values": [value]})
            else:
                text = f'the property "{key}" has no equivalent'
                done.refuse(resource, text, "Use the caller's identity.", f"spec.subjects[{index}]")
        if own and len(subjects) > 1:
            text = (
                "a subject with claims or headers beside other subjects needs a policy of its own"
            )
            done.refuse(resource, text, "Split the binding.", f"spec.subjects[{index}]")
        conditions += own
        if not source and not own:
            return [], []
        if source:
            sources.append({"source": source})
    return sources, conditions
