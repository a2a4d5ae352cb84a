"""Operators, variants and the arithmetic of the kill matrix, without a mesh."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from grader.lab import find_lab
from grader.proof.flake import upper_bound
from grader.proof.matrix import line, totals
from grader.proof.operators import EQUIVALENT, WRONG, generate
from grader.proof.variants import REFUSED, Variant, canonical, variants

LAB = find_lab(1)

EVERYTHING = """\
apiVersion: networking.istio.io/v1alpha3
kind: VirtualService
metadata: {name: r}
spec:
  hosts: [r]
  http:
    - match: [{headers: {user: {exact: ada}}}]
      fault: {delay: {percentage: {value: 50}, fixedDelay: 2s}}
      route: [{destination: {host: r, subset: v2}}]
      mirror: {host: r, subset: v1}
      mirrorPercentage: {value: 100}
    - timeout: 1s
      retries: {attempts: 3, perTryTimeout: 300ms}
      route:
        - {destination: {host: r, subset: v1}, weight: 90}
        - {destination: {host: r, subset: v2}, weight: 10}
---
apiVersion: networking.istio.io/v1alpha3
kind: DestinationRule
metadata: {name: r}
spec:
  host: r
  trafficPolicy:
    loadBalancer: {simple: RANDOM}
    tls: {mode: ISTIO_MUTUAL}
    outlierDetection: {consecutiveErrors: 5, baseEjectionTime: 30s, maxEjectionPercent: 100}
    connectionPool: {http: {http1MaxPendingRequests: 1}}
  subsets:
    - {name: v1, labels: {version: v1}}
    - {name: v2, labels: {version: v2}}
---
apiVersion: security.istio.io/v1beta1
kind: AuthorizationPolicy
metadata: {name: a}
spec:
  rules:
    - from: [{source: {principals: [cluster.local/ns/t/sa/customer]}}]
      to: [{operation: {methods: [GET]}}]
"""


@pytest.fixture(scope="module")
def documents() -> list[Any]:
    return list(yaml.safe_load_all(EVERYTHING))


def test_every_operator_finds_something_and_leaves_the_original(documents: list[Any]) -> None:
    before = yaml.safe_dump_all(documents)
    made = list(generate(documents))
    assert yaml.safe_dump_all(documents) == before
    assert {each.name.partition(":")[0] for each in made} == {*WRONG, *EQUIVALENT}
    assert len({each.name for each in made}) == len(made)
    assert all(each.concept for each in made)


@pytest.mark.parametrize(
    "wanted",
    [
        "weights: exchanged 0.http.1.route",
        "weights: ten-more 0.http.1.route",
        "weights: all-second 0.http.1.route",
        "subsets: v2 0.http.1.route.0.destination.subset",
        "match-order: reversed 0.http",
        "matches: prefix 0.http.0.match.0.headers.user.exact",
        "percentages: 40 0.http.0.fault.delay.percentage.value",
        "percentages: 0 0.http.0.mirrorPercentage.value",
        "faults: abort 0.http.0.fault",
        "durations: thousandth 0.http.0.fault.delay.fixedDelay",
        "numbers: more 0.http.1.retries.attempts",
        "numbers: fewer 1.trafficPolicy.outlierDetection.consecutiveErrors",
        "balancers: ROUND_ROBIN 1.trafficPolicy.loadBalancer.simple",
        "modes: DISABLE 1.trafficPolicy.tls.mode",
        "permissions: any 2.rules.0.to.0.operation.methods",
        "mirrors: dropped 0.http.0.mirror",
    ],
)
def test_the_mistakes_that_students_make_are_among_them(wanted: str, documents: list[Any]) -> None:
    assert wanted in {each.name for each in generate(documents)}


def test_a_unit_is_mistaken_as_one_would(documents: list[Any]) -> None:
    made = {each.name: each.documents for each in generate(documents)}
    wrong = made["durations: thousandth 0.http.0.fault.delay.fixedDelay"]
    assert wrong[0]["spec"]["http"][0]["fault"]["delay"]["fixedDelay"] == "2ms"


def test_variants_of_a_lab_are_all_different_and_start_with_the_solution(tmp_path: Path) -> None:
    found = variants(LAB, tmp_path)
    assert found[0].name == "solution"
    kinds = {each.kind for each in found}
    assert kinds == {"right", "wrong", "generated", "equivalent"}
    wrong = [canonical(each.files) for each in found if not each.right]
    assert len(set(wrong)) == len(wrong)
    assert canonical(found[0].files) not in wrong
    names = [each.name for each in found]
    assert len(set(names)) == len(names)
    assert {each.kind for each in variants(LAB, tmp_path, generated=False)} == {"right", "wrong"}


def test_a_lab_says_what_is_equal_or_different_only_there(tmp_path: Path) -> None:
    mutual_tls = find_lab(4)
    kinds = {each.name: (each.kind, each.right) for each in variants(mutual_tls, tmp_path)}
    assert kinds["hosts: typo 0.host"] == ("equivalent", True)
    assert kinds["renamed: DestinationRule"] == ("generated", False)
    assert kinds["reordered: keys"] == ("equivalent", True)


def variant(kind: str, lose: set[str] | None, may_lose: set[str] | None = None) -> Variant:
    wanted = None if lose is None else frozenset(lose)
    return Variant("v", kind, "", {}, wanted, frozenset(may_lose or ()))


def test_what_counts_as_killed() -> None:
    def sound(item: Variant, failed: set[str], ungradable: set[str] | None = None) -> bool:
        return line(1, item, failed, ungradable or set(), 1.0).sound

    assert sound(variant("wrong", {"a"}), {"a"})
    assert not sound(variant("wrong", {"a"}), {"a", "b"})
    assert sound(variant("wrong", {"a"}, {"b"}), {"a", "b"})
    assert not sound(variant("wrong", {"a"}), set())
    assert not sound(variant("wrong", {"a"}), {"a"}, {"b"})
    assert sound(variant("generated", None), {"b"})
    assert sound(variant("generated", None), {REFUSED})
    assert not sound(variant("generated", None), set())
    assert sound(variant("equivalent", set()), set())
    assert not sound(variant("equivalent", set()), {"a"})
    assert not sound(variant("right", set()), {REFUSED})
    lines = [
        line(1, variant("wrong", {"a"}), {"a"}, set(), 1),
        line(1, variant("generated", None), set(), set(), 1),
        line(1, variant("right", set()), {"a"}, set(), 1),
        line(1, variant("right", set()), set(), {"a"}, 1),
    ]
    assert totals(lines) == {
        "wrong": 2,
        "killed": 1,
        "right": 2,
        "false_fails": 1,
        "ungradable": 1,
    }


def test_the_bound_is_the_exact_one() -> None:
    assert upper_bound(0, 500) == pytest.approx(0.005974, abs=1e-6)
    assert upper_bound(1, 100) == pytest.approx(0.04656, abs=1e-5)
    assert upper_bound(3, 3) == 1.0
    assert upper_bound(0, 0) == 1.0
