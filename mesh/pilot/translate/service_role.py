"""ServiceRole, ServiceRoleBinding, ClusterRbacConfig: authorization until Istio 1.5.

The config turns it on for all services (``ON``), for some (``ON_WITH_INCLUSION``) or for all but some
(``ON_WITH_EXCLUSION``); where it is on, everything is refused that no role grants.  A role says what
may be called in its own namespace, a binding of that namespace who holds it.  ``user: "*"`` is
everybody, with a certificate or without; ``group`` is the claim ``groups`` of a token.  PERMISSIVE (of
the config or a binding) only counts what would have been refused.
Properties ``service`` and ``namespace`` (0.8, the lecture) are the caller's.
Source: istio/istio 1.1 ``pilot/pkg/networking/plugin/authz/rbac.go``.
Shown by ``meshctl proxy-config listener POD -o json``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from betterproto2 import Message
from envoy_data_plane.envoy.config.rbac.v3 import (
    Permission,
    Policy,
    Principal,
    PrincipalSet,
    Rbac,
    RbacAction,
)
from envoy_data_plane.envoy.extensions.filters.http.rbac.v3 import Rbac as RbacFilter

from mesh.citadel.identity import SCHEME
from mesh.istio.models import legacy_rbac as model
from mesh.pilot.node import ProxyNode
from mesh.pilot.translate import authorization_policy, client_tls, names, rbac
from mesh.pilot.translate.routing import Config
from mesh.pilot.translate.view import MeshView


def filters(view: MeshView, node: ProxyNode) -> list[tuple[str, Message]]:
    """Return the RBAC filter of a node; none where access control is off."""
    configs = [*view.of_kind("ClusterRbacConfig"), *view.of_kind("RbacConfig")]
    if node.type != "sidecar" or not configs:
        return []
    config: model.RbacConfig = configs[0].spec
    services = [each for each in node.services if _on(config, each, node.namespace)]
    if not services:
        return []
    enforced: dict[str, Policy] = {}
    shadow: dict[str, Policy] = {}
    for role in view.of_kind("ServiceRole", node.namespace):
        permissions = [
            found
            for rule in role.spec.rules or []
            if (found := _permission(rule, node, services)) is not None
        ]
        for permissive, policies in ((False, enforced), (True, shadow)):
            principals = _holders(view, role, permissive)
            if permissions and principals:
                policies[role.name] = Policy(permissions=permissions, principals=principals)
    made = RbacFilter()
    if config.enforcement_mode == "PERMISSIVE":
        made.shadow_rules = Rbac(action=RbacAction.ALLOW, policies=enforced | shadow)
    else:
        made.rules = Rbac(action=RbacAction.ALLOW, policies=enforced)
        if shadow:
            made.shadow_rules = Rbac(action=RbacAction.ALLOW, policies=shadow)
    return [(authorization_policy.FILTER, made)]


def _on(config: model.RbacConfig, service: str, namespace: str) -> bool:
    mode = config.mode or "OFF"
    if mode == "ON_WITH_INCLUSION":
        return _within(config.inclusion, service, namespace)
    if mode == "ON_WITH_EXCLUSION":
        return not _within(config.exclusion, service, namespace)
    return mode == "ON"


def _within(target: model.RbacTarget | None, service: str, namespace: str) -> bool:
    if target is None:
        return False
    return service in (target.services or []) or namespace in (target.namespaces or [])


def _permission(
    rule: model.AccessRule, node: ProxyNode, services: Iterable[str]
) -> Permission | None:
    """Return what a rule grants of this pod; None when it is about others."""
    if not any(_fits(pattern, each) for pattern in rule.services for each in services):
        return None
    every = [
        *rbac.permissions(rbac.host, rule.hosts, rule.not_hosts),
        *rbac.permissions(rbac.method, rule.methods, rule.not_methods),
        *rbac.permissions(rbac.path, rule.paths, rule.not_paths),
        *rbac.one_permission(_ports(rule.ports, node), _ports(rule.not_ports, node)),
    ]
    for each in rule.constraints or []:
        key, values = each.key or "", each.values or []
        wanted = _label(key)
        if wanted:
            if not any(_fits(value, node.labels.get(wanted, "")) for value in values):
                return None
        elif key == "destination.namespace":
            if not any(_fits(value, node.namespace) for value in values):
                return None
        else:
            every += rbac.one_permission([_constraint(key, value, node) for value in values], [])
    return rbac.permitted(every)


def _label(key: str) -> str:
    """Return the label that a constraint asks for; until 0.8 ``version`` stood alone."""
    if key == "version":
        return key
    if key.startswith("destination.labels["):
        return key.removeprefix("destination.labels[").removesuffix("]")
    return ""


def _constraint(key: str, value: str, node: ProxyNode) -> Permission:
    if key.startswith("request.headers["):
        name = key.removeprefix("request.headers[").removesuffix("]")
        return Permission(header=rbac.header(name, value))
    if key == "destination.ip":
        return rbac.destination_ip(value)
    if key == "destination.port":
        return rbac.port(node.inbound_ports.get(int(value), int(value)))
    if key.startswith("experimental."):
        return rbac.filter_metadata(key, value)
    raise ValueError(f"ServiceRole: the constraint {key!r} is none that Istio knows.")


def _holders(view: MeshView, role: Config, permissive: bool) -> list[Principal]:
    """Return who holds a role by bindings that are enforced, or only permissive."""
    found: list[Principal] = []
    for each in view.of_kind("ServiceRoleBinding", role.namespace):
        spec: model.ServiceRoleBinding = each.spec
        named = spec.role_ref.name if spec.role_ref else spec.role
        if named != role.name:
            continue
        if (spec.mode == "PERMISSIVE") is permissive:
            found += [_subject(view, subject, each.namespace) for subject in spec.subjects or []]
    return found


def _subject(view: MeshView, subject: model.Subject, own: str) -> Principal:
    every: list[Principal] = []
    if subject.user == "*":
        every.append(Principal(any=True))
    elif subject.user:
        every.append(rbac.principal(subject.user))
    if subject.group:
        every.append(rbac.claims(["groups"], [subject.group]))
    for key, value in (subject.properties or {}).items():
        every.append(_property(view, key, value, own))
    every += rbac.principals(rbac.principal, subject.names, subject.not_names)
    every += rbac.principals(_group, subject.groups, subject.not_groups)
    every += rbac.principals(rbac.namespace, subject.namespaces, subject.not_namespaces)
    every += rbac.principals(rbac.source_ip, subject.ips, subject.not_ips)
    return rbac.who(every)


def _property(view: MeshView, key: str, value: str, own: str) -> Principal:
    claim = authorization_policy.claim_path(key)
    if claim:
        return rbac.claims(claim, [value])
    if key == "service":
        host = names.resolve(value, own)
        accounts = [each.removeprefix(SCHEME) for each in client_tls.identities(view, host)]
        return Principal(or_ids=PrincipalSet(ids=[rbac.principal(each) for each in accounts]))
    if key.startswith("request.headers["):
        return rbac.request_header(key.removeprefix("request.headers[").removesuffix("]"), value)
    known: dict[str, Callable[[str], Principal]] = {
        "namespace": rbac.namespace,
        "source.namespace": rbac.namespace,
        "source.ip": rbac.source_ip,
        "source.principal": rbac.principal,
        "source.user": rbac.principal,
        "request.auth.principal": rbac.request_principal,
    }
    if key not in known:
        raise ValueError(f"ServiceRoleBinding: the property {key!r} is none that Istio knows.")
    return known[key](value)


def _group(value: str) -> Principal:
    return rbac.claims(["groups"], [value])


def _fits(pattern: str, value: str) -> bool:
    """Compare as ServiceRoles do: exact, ``prefix*``, ``*suffix`` or ``*``."""
    if pattern == "*":
        return True
    if pattern.startswith("*"):
        return value.endswith(pattern[1:])
    if pattern.endswith("*"):
        return value.startswith(pattern[:-1])
    return value == pattern


def _ports(values: list[int] | None, node: ProxyNode) -> list[Permission]:
    return [rbac.port(node.inbound_ports.get(each, each)) for each in values or []]
