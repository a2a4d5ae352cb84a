from __future__ import annotations

from mesh.istio.models.destination_rule import DestinationRule
from mesh.pilot.translate.destination_rule import DestinationRules

HOST = "shop.sales.svc.cluster.local"


def rules(*placed: tuple[str, str, dict[str, object]]) -> DestinationRules:
    found = DestinationRules()
    for name, namespace, fields in placed:
        spec = DestinationRule.model_validate({"host": HOST, **fields})
        found.add(name, namespace, spec)
    return found


def name(found: DestinationRules, client: str, **labels: str) -> str:
    rule = found.find(HOST, "sales", client, labels)
    return rule.name if rule else ""


def test_the_callers_namespace_then_the_services_then_the_root() -> None:
    client, owner, root = ("c", "tutorial", {}), ("o", "sales", {}), ("r", "istio-system", {})
    other = ("x", "elsewhere", {})
    assert name(rules(other, root, owner, client), "tutorial") == "c"
    assert name(rules(other, root, owner), "tutorial") == "o"
    assert name(rules(other, root), "tutorial") == "r"
    assert name(rules(other), "tutorial") == ""


def test_a_private_rule_is_for_its_own_namespace() -> None:
    found = rules(("o", "sales", {"exportTo": ["."]}), ("r", "istio-system", {}))
    assert name(found, "tutorial") == "r"
    assert name(found, "sales") == "o"


def test_a_rule_for_another_namespace_is_not_for_its_own() -> None:
    found = rules(("o", "sales", {"exportTo": ["tutorial"]}))
    assert (name(found, "tutorial"), name(found, "sales"), name(found, "third")) == ("o", "o", "")
    found = rules(("o", "istio-system", {"exportTo": ["tutorial"]}))
    assert (name(found, "tutorial"), name(found, "istio-system")) == ("o", "o")


def test_the_most_specific_host_of_a_namespace_wins() -> None:
    wide = ("wide", "sales", {"host": "*.svc.cluster.local"})
    narrow = ("narrow", "sales", {"host": "*.sales.svc.cluster.local"})
    assert name(rules(wide, narrow), "tutorial") == "narrow"
    assert name(rules(wide, narrow, ("own", "sales", {})), "tutorial") == "own"
    near = ("near", "tutorial", {"host": "*.local"})
    assert name(rules(wide, narrow, near), "tutorial") == "near"


def test_rules_of_one_place_are_merged() -> None:
    policy = {"trafficPolicy": {"loadBalancer": {"simple": "RANDOM"}}}
    first = ("one", "sales", {"subsets": [{"name": "v1", "labels": {"version": "v1"}}]})
    second = ("two", "sales", {"subsets": [{"name": "v1"}, {"name": "v2"}], **policy})
    found = rules(first, second).find(HOST, "sales", "tutorial")
    assert found is not None
    assert (found.name, [each.name for each in found.subsets]) == ("one", ["v1", "v2"])
    assert found.policy is not None
    one = found.subset("v1")
    assert one is not None and one.labels == {"version": "v1"}


def test_rules_for_other_namespaces_are_not_merged() -> None:
    found = rules(
        ("one", "sales", {"exportTo": ["third"], "subsets": [{"name": "a"}]}),
        ("two", "sales", {"subsets": [{"name": "b"}]}),
    )
    assert name(found, "tutorial") == "two"
    assert name(found, "third") == "one"


def test_a_workload_selector_picks_callers() -> None:
    selector = {"workloadSelector": {"matchLabels": {"app": "front"}}}
    found = rules(("all", "tutorial", {}), ("front", "tutorial", selector))
    assert (name(found, "tutorial", app="front"), name(found, "tutorial", app="back")) == (
        "front",
        "all",
    )


def test_without_a_caller_every_namespace_is_asked() -> None:
    assert name(rules(("x", "elsewhere", {})), "") == "x"
