"""AuthorizationPolicy -> the RBAC filters of a sidecar or gateway.

Every action becomes one filter, asked in this order: AUDIT (notes only), DENY (whatever matches is
refused), ALLOW (where there is one, whatever matches none is refused).  ``spec: {}`` is an ALLOW
without rules: nothing passes.  CUSTOM goes before them
(``external_authorization``).  A rule is ``from`` and ``to`` and ``when``; lists are alternatives.
Policies of the root namespace hold for all workloads.  Refusal: 403 ``RBAC: access denied``.
The annotation ``istio.io/dry-run: "true"`` makes a policy say what it would do (shadow rules) and do nothing.
``ports`` are those of the Service; here they become the port that this sidecar listens on.
Source: istio/istio ``pilot/pkg/security/authz/builder/builder.go``, ``.../model/model.go``.
Shown by ``meshctl describe pod POD``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

from betterproto2 import Message
from envoy_data_plane.envoy.config.rbac.v3 import (
    Permission,
    Policy,
    Principal,
    Rbac,
    RbacAction,
)
from envoy_data_plane.envoy.extensions.filters.http.rbac.v3 import Rbac as RbacFilter

from mesh.istio.models import authorization_policy as model
from mesh.pilot.node import ProxyNode
from mesh.pilot.translate import rbac
from mesh.pilot.translate.routing import Config
from mesh.pilot.translate.view import MeshView
from mesh.topology import ROOT_NAMESPACE

FILTER = "envoy.filters.http.rbac"
_DRY_RUN_STATS = {"DENY": "istio_dry_run_deny_", "ALLOW": "istio_dry_run_allow_"}
_ACTIONS = {"AUDIT": RbacAction.LOG, "DENY": RbacAction.DENY, "ALLOW": RbacAction.ALLOW}
Ports = Mapping[int, int]
"""Port of the Service (or of the Gateway's server) -> port that the proxy listens on."""

Adapt = Callable[[model.Rule, str], model.Rule | None]


def as_it_is(rule: model.Rule, _action: str) -> model.Rule:
    """Return the rule: what holds for HTTP is asked as it stands."""
    return rule


def filters(view: MeshView, node: ProxyNode) -> list[tuple[str, Message]]:
    """Return the RBAC filters of a node; ValueError for what cannot be enforced."""
    enforced, tried = rules(view, node), rules(view, node, dry_run=True)
    return [
        (
            FILTER,
            RbacFilter(
                rules=enforced.get(action),
                shadow_rules=tried.get(action),
                shadow_rules_stat_prefix=_DRY_RUN_STATS.get(action, "") if action in tried else "",
            ),
        )
        for action in _ACTIONS
        if action in enforced or action in tried
    ]


def rules(
    view: MeshView, node: ProxyNode, adapt: Adapt = as_it_is, *, dry_run: bool = False
) -> dict[str, Rbac]:
    """Return the policies of a node by action, in the order in which they are asked.

    ``adapt`` may change a rule (it gets the action too) or leave it out; ``dry_run``: those that are
    only tried, in place of those that hold.
    """
    found = {
        action: policies(view, node, action, adapt, dry_run=dry_run)
        for action in _ACTIONS
        if any(selected(view, node, action, dry_run=dry_run))
    }
    return {action: Rbac(action=_ACTIONS[action], policies=each) for action, each in found.items()}


def selected(
    view: MeshView, node: ProxyNode, action: str, *, dry_run: bool = False
) -> Iterator[Config]:
    """Yield the policies with an action that hold for a node, or those that are only tried."""
    for each in _candidates(view, node):
        spec: model.AuthorizationPolicy = each.spec
        meant = (spec.action or "ALLOW") == action and _selects(view, each, spec, node)
        if meant and model.on_trial(each.annotations) is dry_run:
            yield each


def policies(
    view: MeshView,
    node: ProxyNode,
    action: str,
    adapt: Adapt = as_it_is,
    prefix: str = "",
    *,
    dry_run: bool = False,
) -> dict[str, Policy]:
    """Return what the rules of all policies with an action say, by ``PREFIXns[..]-policy[..]-rule[..]``."""
    ports = {**node.gateway_ports, **node.inbound_ports}
    found: dict[str, Policy] = {}
    for each in selected(view, node, action, dry_run=dry_run):
        spec: model.AuthorizationPolicy = each.spec
        for number, rule in enumerate(spec.rules or []):
            adapted = adapt(rule, action)
            if adapted is not None:
                name = f"{prefix}ns[{each.namespace}]-policy[{each.name}]-rule[{number}]"
                found[name] = _policy(adapted, ports, each.namespace)
    return found


def _candidates(view: MeshView, node: ProxyNode) -> list[Config]:
    """Return the policies that may be meant; only gateways are named from other namespaces."""
    if node.type == "router":
        return view.of_kind("AuthorizationPolicy")
    return view.of_kind("AuthorizationPolicy", node.namespace, ROOT_NAMESPACE)


def _selects(
    view: MeshView, config: Config, spec: model.AuthorizationPolicy, node: ProxyNode
) -> bool:
    refs = [*(spec.target_refs or []), *([spec.target_ref] if spec.target_ref else [])]
    if refs:
        return any(
            each.kind == "Gateway" and _serves(view, node, config.namespace, each.name or "")
            for each in refs
        )
    if config.namespace not in (node.namespace, ROOT_NAMESPACE):
        return False
    wanted = (spec.selector.match_labels if spec.selector else None) or {}
    return wanted.items() <= node.labels.items()


def _serves(view: MeshView, node: ProxyNode, namespace: str, name: str) -> bool:
    """True when the node is the gateway that plays a Gateway of the Gateway API."""
    if node.type != "router":
        return False
    return any(
        key in view.gateway_api.gateways
        and key.partition("/")[0] == namespace
        and key.partition("/")[2].startswith(name)
        for key, gateway in view.gateways.items()
        if (gateway.selector or {}).items() <= node.labels.items()
    )


def _policy(rule: model.Rule, ports: Ports, own: str) -> Policy:
    permissions, principals = _conditions(rule.when or [], ports, own)
    operations = [each.operation or model.Operation() for each in rule.to or []]
    sources = [each.source or model.Source() for each in rule.from_ or []]
    return Policy(
        permissions=[
            rbac.permitted([*_operation(each, ports), *permissions])
            for each in operations or [model.Operation()]
        ],
        principals=[
            rbac.who([*_source(each, own), *principals]) for each in sources or [model.Source()]
        ],
    )


def _operation(what: model.Operation, ports: Ports) -> list[Permission]:
    def numbers(values: list[str] | None) -> list[Permission]:
        return [_port(each, ports) for each in values or []]

    return [
        *rbac.permissions(rbac.host, what.hosts, what.not_hosts),
        *rbac.permissions(rbac.method, what.methods, what.not_methods),
        *rbac.permissions(rbac.path, what.paths, what.not_paths),
        *rbac.one_permission(numbers(what.ports), numbers(what.not_ports)),
    ]


def _source(source: model.Source, own: str) -> list[Principal]:
    def account(value: str) -> Principal:
        return rbac.service_account(value, own)

    return [
        *rbac.principals(rbac.principal, source.principals, source.not_principals),
        *rbac.principals(
            rbac.request_principal, source.request_principals, source.not_request_principals
        ),
        *rbac.principals(rbac.namespace, source.namespaces, source.not_namespaces),
        *rbac.principals(account, source.service_accounts, source.not_service_accounts),
        *rbac.principals(rbac.trust_domain, source.trust_domains, source.not_trust_domains),
        *rbac.principals(rbac.remote_ip, source.remote_ip_blocks, source.not_remote_ip_blocks),
        *rbac.principals(rbac.source_ip, source.ip_blocks, source.not_ip_blocks),
    ]


def _conditions(
    conditions: Sequence[model.Condition], ports: Ports, own: str
) -> tuple[list[Permission], list[Principal]]:
    permissions: list[Permission] = []
    principals: list[Principal] = []
    for each in conditions:
        key, yes, no = each.key, each.values, each.not_values
        permission = _permission_of(key, ports)
        if permission is not None:
            permissions += rbac.permissions(permission, yes, no)
            continue
        claim = claim_path(key)
        if claim:
            found = [rbac.claims(claim, yes)] if yes else []
            principals += rbac.one_principal(found, [rbac.claims(claim, no)] if no else [])
        else:
            principals += rbac.principals(_principal_of(key, own), yes, no)
    return permissions, principals


def _permission_of(key: str, ports: Ports) -> Callable[[str], Permission] | None:
    if key.startswith("experimental.envoy.filters."):
        return lambda value: rbac.filter_metadata(key, value)
    if key == "destination.port":
        return lambda value: _port(value, ports)
    return {"destination.ip": rbac.destination_ip, "connection.sni": rbac.sni}.get(key)


def _principal_of(key: str, own: str) -> Callable[[str], Principal]:
    if key.startswith("request.headers["):
        name = key.removeprefix("request.headers[").removesuffix("]")
        return lambda value: rbac.request_header(name, value)
    if key == "source.serviceAccount":
        return lambda value: rbac.service_account(value, own)
    return {
        "source.ip": rbac.source_ip,
        "remote.ip": rbac.remote_ip,
        "source.namespace": rbac.namespace,
        "source.principal": rbac.principal,
        "source.trustDomain": rbac.trust_domain,
        "request.auth.principal": rbac.request_principal,
    }[key]


def claim_path(key: str) -> list[str]:
    """Return the names of the claim that an attribute reads; none for another attribute."""
    if key.startswith("request.auth.claims["):
        return key.removeprefix("request.auth.claims[").removesuffix("]").split("][")
    named = {"request.auth.audiences": ["aud"], "request.auth.presenter": ["azp"]}
    return named.get(key, [])


def _port(value: str, ports: Ports) -> Permission:
    number = int(value)
    return rbac.port(ports.get(number, number))
