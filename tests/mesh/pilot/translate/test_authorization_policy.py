"""AuthorizationPolicies as RBAC filters: order, names, selection, and every way to write a condition."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, cast

import pytest

from mesh.istio import extension_providers
from mesh.pilot.node import ProxyNode
from mesh.pilot.translate import (
    access_control,
    authorization_policy,
    external_authorization,
    rbac,
    tcp_access_control,
)
from mesh.pilot.translate.view import MeshView

MakeView = Callable[..., MeshView]


def filters(view: MeshView, node: ProxyNode) -> list[dict[str, Any]]:
    return [message.to_dict()["rules"] for _, message in authorization_policy.filters(view, node)]


def policy(name: str, spec: str) -> tuple[str, str, str]:
    return ("AuthorizationPolicy", name, spec)


ANY_RULE = "  rules: [{}]"
CUSTOM = "  action: CUSTOM\n  provider: {name: sample}\n" + ANY_RULE


def test_audit_then_deny_then_allow(view: MakeView, node: ProxyNode) -> None:
    made = view(
        policy("a", ANY_RULE),
        policy("d", "  action: DENY\n" + ANY_RULE),
        policy("l", "  action: AUDIT\n" + ANY_RULE),
        policy("b", ANY_RULE),
    )
    found = filters(made, node)
    assert [each.get("action", "ALLOW") for each in found] == ["LOG", "DENY", "ALLOW"]
    assert sorted(found[2]["policies"]) == [
        "ns[tutorial]-policy[a]-rule[0]",
        "ns[tutorial]-policy[b]-rule[0]",
    ]


def test_an_empty_spec_allows_nothing(view: MakeView, node: ProxyNode) -> None:
    assert filters(view(policy("none", "  {}")), node) == [{}]
    assert filters(view(), node) == []


def test_a_policy_on_trial_stands_in_shadow_rules(view: MakeView, node: ProxyNode) -> None:
    made = view(
        policy("a", ANY_RULE), policy("b", ANY_RULE), policy("d", "  action: DENY\n" + ANY_RULE)
    )
    annotations = {"istio.io/dry-run": "true"}
    resources = [
        replace(cast(Any, each), annotations=annotations) if each.name in "bd" else each
        for each in made.resources
    ]
    tried = replace(made, resources=tuple(resources))
    deny, allow = (message.to_dict() for _, message in authorization_policy.filters(tried, node))
    assert set(deny) == {"shadowRules", "shadowRulesStatPrefix"}
    assert deny["shadowRulesStatPrefix"] == "istio_dry_run_deny_"
    assert list(allow["rules"]["policies"]) == ["ns[tutorial]-policy[a]-rule[0]"]
    assert list(allow["shadowRules"]["policies"]) == ["ns[tutorial]-policy[b]-rule[0]"]
    assert tcp_access_control.filters(tried, node) == tcp_access_control.filters(
        view(policy("a", ANY_RULE)), node
    )


def test_who_is_selected(view: MakeView, node: ProxyNode) -> None:
    other = "  selector: {matchLabels: {app: other}}\n" + ANY_RULE
    assert filters(view(policy("o", other)), node) == []
    made = view(policy("m", ANY_RULE))
    for namespace, count in (("istio-system", 1), ("elsewhere", 0)):
        moved = replace(cast(Any, made.resources[0]), namespace=namespace)
        assert len(filters(replace(made, resources=(moved,)), node)) == count


def test_custom_asks_before_tokens_are_read(view: MakeView, node: ProxyNode) -> None:
    server = {"service": "recommendation.tutorial.svc.cluster.local", "port": 8000}
    raw = [{"name": "sample", "envoyExtAuthzHttp": {**server, "includeHeadersInCheck": ["x-*"]}}]
    made = replace(
        view(policy("c", CUSTOM), policy("d", "  action: DENY\n" + ANY_RULE)),
        providers=extension_providers.read(raw, "t"),
    )
    found = access_control.filters(made, node)
    kinds = [name.rpartition(".")[2] for name, _ in found]
    assert kinds == ["rbac", "ext_authz", "rbac"]
    noting, asking = (message.to_dict() for _, message in found[:2])
    assert list(noting["shadowRules"]["policies"]) == [
        "istio-ext-authz-ns[tutorial]-policy[c]-rule[0]"
    ]
    assert noting["shadowRulesStatPrefix"] == "istio_ext_authz_"
    uri = asking["httpService"]["serverUri"]
    assert uri["cluster"] == "outbound|8000||recommendation.tutorial.svc.cluster.local"
    assert uri["timeout"] == "600s"
    assert asking["allowedHeaders"] == {"patterns": [{"prefix": "x-", "ignoreCase": True}]}
    key = asking["filterEnabledMetadata"]["path"][0]["key"]
    assert key == "istio_ext_authz_shadow_effective_policy_id"
    assert tcp_access_control.filters(replace(made, resources=made.resources[:1]), node) == []


def test_custom_refuses_when_nobody_can_be_asked(view: MakeView, node: ProxyNode) -> None:
    made = view(policy("c", CUSTOM))
    with pytest.raises(external_authorization.ProviderError, match=r'are \[\] but found "sample"'):
        external_authorization.provider(made, node)
    ((name, message),) = external_authorization.filters(made, node)
    rules = message.to_dict()["rules"]
    assert name == authorization_policy.FILTER
    assert rules["action"] == "DENY"
    bad = "istio-ext-authz-ns[tutorial]-policy[c]-rule[0]-deny-due-to-bad-CUSTOM-action"
    assert list(rules["policies"]) == [bad]
    assert len(tcp_access_control.filters(made, node)) == 1


def test_ports_become_those_of_the_sidecar(view: MakeView, node: ProxyNode) -> None:
    made = view(policy("p", '  rules: [{to: [{operation: {ports: ["8080"], notPorts: ["9"]}}]}]'))
    (rules,) = filters(made, node)
    permission = rules["policies"]["ns[tutorial]-policy[p]-rule[0]"]["permissions"][0]
    assert permission["andRules"]["rules"] == [
        {"orRules": {"rules": [{"destinationPort": 1001}]}},
        {"notRule": {"orRules": {"rules": [{"destinationPort": 9}]}}},
    ]


def test_sources_are_alternatives_and_conditions_hold_for_each(
    view: MakeView, node: ProxyNode
) -> None:
    spec = """
  rules:
    - from:
        - source: {principals: [cluster.local/ns/tutorial/sa/a], namespaces: [x]}
        - source: {notRequestPrincipals: ["*"]}
      when:
        - {key: source.ip, values: [10.0.0.1]}
        - {key: "request.auth.claims[a][b]", values: [c]}
        - {key: destination.port, values: ["8080"]}"""
    (rules,) = filters(view(policy("s", spec)), node)
    made = rules["policies"]["ns[tutorial]-policy[s]-rule[0]"]
    assert len(made["principals"]) == 2
    first, second = (each["andIds"]["ids"] for each in made["principals"])
    assert [next(iter(each)) for each in first] == ["orIds"] * 4
    assert [next(iter(each)) for each in second] == ["notId", "orIds", "orIds"]
    assert len(made["permissions"]) == 1


TEXTS = [
    ("*", {"safeRegex": {"regex": ".+"}}),
    ("*b", {"suffix": "b"}),
    ("a*", {"prefix": "spiffe://a"}),
    ("a", {"exact": "spiffe://a"}),
]


@pytest.mark.parametrize(("value", "wanted"), TEXTS)
def test_ways_to_write_an_identity(value: str, wanted: dict[str, Any]) -> None:
    made = rbac.principal(value).to_dict()
    assert made == {"authenticated": {"principalName": wanted}}


REQUEST_PRINCIPALS = [
    ("*", ".+", ".+"),
    ("https://a.example/x/jason", "https://a.example/x", "jason"),
    ("https://a.example/*", "https://a.example", ".+"),
    ("https://a.example/ja*", "https://a.example", "ja"),
    ("issuer*", "issuer", ".+"),
    ("*/jason", ".+", "jason"),
    ("*a.example/jason", "a.example", "jason"),
    ("*son", ".+", "son"),
    ("issuer", "issuer", ""),
]


@pytest.mark.parametrize(("value", "issuer", "subject"), REQUEST_PRINCIPALS)
def test_the_last_slash_divides_issuer_and_subject(value: str, issuer: str, subject: str) -> None:
    ids = rbac.request_principal(value).to_dict()["andIds"]["ids"]
    found = []
    for each in ids:
        match = each["sourcedMetadata"]["metadataMatcher"]["value"]["stringMatch"]
        (text,) = match.values()
        found.append(text["regex"] if isinstance(text, dict) else text)
    assert found == [issuer, subject]


def test_path_templates() -> None:
    made = rbac.path("/a.b/{*}/c/{**}").to_dict()
    regex = made["urlPath"]["path"]["safeRegex"]["regex"]
    assert regex.startswith(r"/a\.b/[")
    assert rbac.path("/x*").to_dict() == {"urlPath": {"path": {"prefix": "/x"}}}
