"""Authorization of raw TCP: the network RBAC filters before an application's port, and at gateways.

AuthorizationPolicy holds for TCP ports too, with what a connection has: principals, namespaces,
addresses, ports, SNI.  What only a request has (hosts, methods, paths, headers, tokens) cannot be
asked: an ALLOW rule with such a condition matches nothing, a DENY rule is asked without it, so
that a policy rather refuses too much.  A server that is asked over HTTP (action CUSTOM) is not asked
about connections.  A refused connection is closed; its log line has
``rbac_access_denied_matched_policy[...]`` as ``connection_termination_details``.
Source: istio/istio ``pilot/pkg/security/authz/model/model.go`` (forTCP); "Authorization policy
normalization and TCP" of its documentation.
Shown by ``meshctl proxy-config listener POD -o json``.
"""

from __future__ import annotations

from envoy_data_plane.envoy.config.listener.v3 import Filter
from envoy_data_plane.envoy.config.rbac.v3 import Rbac
from envoy_data_plane.envoy.extensions.filters.network.rbac.v3 import Rbac as NetworkRbac

from mesh.istio.models import authorization_policy as model
from mesh.pilot.node import ProxyNode
from mesh.pilot.translate import authorization_policy, external_authorization, messages
from mesh.pilot.translate.view import MeshView

FILTER = "envoy.filters.network.rbac"
_OPERATIONS = ("hosts", "not_hosts", "methods", "not_methods", "paths", "not_paths")
_SOURCES = ("request_principals", "not_request_principals")


def filters(view: MeshView, node: ProxyNode) -> list[Filter]:
    """Return the filters, in the order CUSTOM (whose server is missing), AUDIT, DENY, ALLOW."""
    return [
        Filter(
            name=FILTER,
            typed_config=messages.pack(NetworkRbac(rules=rules, stat_prefix="tcp.")),
        )
        for rules in _rules(view, node)
    ]


def _rules(view: MeshView, node: ProxyNode) -> list[Rbac]:
    bad = external_authorization.refusals(view, node, without_requests)
    own = [bad] if bad is not None else []
    return own + list(authorization_policy.rules(view, node, without_requests).values())


def without_requests(rule: model.Rule, action: str) -> model.Rule | None:
    """Return ``rule`` without what only requests have; None when it then cannot match."""
    to = [model.To(operation=_without(each.operation, _OPERATIONS)) for each in rule.to or []]
    sources = [model.From(source=_without(each.source, _SOURCES)) for each in rule.from_ or []]
    when = [each for each in rule.when or [] if not each.key.startswith("request.")]
    same = (
        [each.operation for each in to] == [each.operation for each in rule.to or []]
        and [each.source for each in sources] == [each.source for each in rule.from_ or []]
        and len(when) == len(rule.when or [])
    )
    if same:
        return rule
    if action != "DENY":
        return None
    return rule.model_copy(
        update={"to": to or None, "from_": sources or None, "when": when or None}
    )


def _without[M: (model.Operation, model.Source)](
    part: M | None, names: tuple[str, ...]
) -> M | None:
    return part.model_copy(update=dict.fromkeys(names)) if part is not None else None
