"""This kit's analyzers on the files of Istio's own tests: the same codes for the same resources.

Runs where ISTIO_ANALYZERS names a copy of the folder ``pkg/config/analysis`` of istio/istio.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from pathlib import Path

import pytest

from tests.mesh.istio.analyze.istio_grid import Case, codes_by_analyzer, ours, read_cases

FOLDER = os.environ.get("ISTIO_ANALYZERS", "")
pytestmark = pytest.mark.skipif(
    not FOLDER, reason="ISTIO_ANALYZERS names no copy of pkg/config/analysis"
)
ROOT = Path(__file__).parents[4]
CASES = read_cases(Path(FOLDER)) if FOLDER else []
BY_ANALYZER = codes_by_analyzer(CASES)
OURS = set(re.findall(r"IST\d{4}", (ROOT / "docs/analyzer.md").read_text().split("## Left out")[0]))

ON_PURPOSE = {
    "virtualServiceDestinationHosts": (
        {("IST0101", "VirtualService default/reviews-bogushost"): 2},
        "an API server takes no route without a destination, so this one is refused (IST0106)",
    ),
    "deprecation": (
        {("IST0002", "Sidecar default/no-selector"): 1},
        "sidecars obey egressProxy, whatever istioctl says",
    ),
    "virtualServiceGateways": (
        {("IST0132", "VirtualService httpbin-bogus"): 1},
        "of a gateway that is not there only that is said",
    ),
    "Detect `image: auto` in non-injected pods": (
        {("IST0146", "Deployment not-injected/non-injected-gateway-deployment"): 1},
        "a namespace that no file has may want sidecars",
    ),
    "EnvoyFilterUsesRelativeOperation": (
        {("IST0151", "EnvoyFilter bookinfo/test-relative-1"): 1},
        "the router is always there, so a filter put before it needs no priority",
    ),
    "DestinationRuleSubsetsNotSelectPods": (
        {("IST0173", "DestinationRule default/subsets-not-select-pods"): 1},
        "a Service of which no file has any pod may run elsewhere",
    ),
}
"""What Istio says and this kit does not, and why."""


def test_the_table_is_read() -> None:
    assert len(CASES) > 100
    assert sum(case.expected.total() for case in CASES) > 150


@pytest.mark.parametrize(
    "case", [pytest.param(case, id=f"{case.name} {case.files[0].stem}") for case in CASES]
)
def test_the_same_codes_for_the_same_resources(case: Case) -> None:
    codes = BY_ANALYZER[case.analyzer] & OURS
    if not codes:
        pytest.skip("docs/analyzer.md says why its codes are left out")
    expected = Counter({each: n for each, n in case.expected.items() if each[0] in codes})
    missing, why = ON_PURPOSE.get(case.name, ({}, ""))
    assert ours(case, codes) == expected - Counter(missing), why
