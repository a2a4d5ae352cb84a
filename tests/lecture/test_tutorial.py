"""The tutorial of the lecture (redhat-scholars/istio-tutorial) loads in the eras that it is for.

Tried at commit aea73b3: all 51 files of ``istiofiles/``, listed here with the eras that know
their kinds.  None of them is part of this project: with MESH_LAB_TUTORIAL naming the folder
``istiofiles`` of a checkout the test reads them, without it there is nothing to read.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from mesh.istio import era, load_paths

FOLDER = os.environ.get("MESH_LAB_TUTORIAL", "")
COMMIT = "aea73b3"

OLD, NEW = ("istio-1.0",), ("istio-1.9", "istio-current")
ALL = (*OLD, *NEW)
FILES: dict[tuple[str, ...], str] = {
    OLD: """
        acl-blacklist.yml acl-deny-except-customer2preference2recommendation.yml acl-whitelist.yml
        authentication-enable-tls.yml authorization-enable-rbac.yml namespace-rbac-policy.yml
        old-namespace-rbac-policy-jwt.yml rate_limit_rule.yml recommendation_rate_limit_handler.yml
        recommendation_requestcount.yml
    """,
    NEW: """
        authorization-policy-allow-customer.yaml authorization-policy-allow-preference.yaml
        authorization-policy-allow-recommendation.yaml authorization-policy-deny-all.yaml
        authorization-policy-jwt.yaml disable-mtls.yml enable-mtls.yml
        enduser-authentication-jwt.yml namespace-rbac-policy-jwt.yml
    """,
    ALL: """
        destination-rule-recommendation-v1-v2-v3.yml destination-rule-recommendation-v1-v2.yml
        destination-rule-recommendation-v1.yml destination-rule-recommendation-v4-v5-v6-v7.yml
        destination-rule-recommendation.yml
        destination-rule-recommendation_cb_policy_pool_ejection.yml
        destination-rule-recommendation_cb_policy_version_v2.yml
        destination-rule-recommendation_lb_policy_app.yml destination-rule-tls.yml
        service-entry-egress-worldclockapi.yml virtual-service-firefox-recommendation-v2.yml
        virtual-service-mobile-recommendation-v2.yml virtual-service-no-retries.yml
        virtual-service-promoted-v3.yml virtual-service-promotion-v1-v2-v3.yml
        virtual-service-recommendation-503.yml virtual-service-recommendation-delay.yml
        virtual-service-recommendation-timeout.yml virtual-service-recommendation-v1-mirror-v2.yml
        virtual-service-recommendation-v1.yml virtual-service-recommendation-v1_and_v2.yml
        virtual-service-recommendation-v1_and_v2_50_50.yml
        virtual-service-recommendation-v1_and_v2_75_25.yml virtual-service-recommendation-v2.yml
        virtual-service-recommendation-v2_retry.yml virtual-service-recommendation-v3.yml
        virtual-service-recommendation-v4.yml virtual-service-recommendation-v5.yml
        virtual-service-recommendation-v6.yml virtual-service-recommendation-v7.yml
        virtual-service-recommendation-virtualized.yml virtual-service-safari-recommendation-v2.yml
    """,
}
TRIED = [(name, eras) for eras, names in FILES.items() for name in names.split()]


def test_the_list_is_whole() -> None:
    assert len({name for name, _ in TRIED}) == 51


@pytest.mark.skipif(not FOLDER, reason="MESH_LAB_TUTORIAL names no folder istiofiles")
@pytest.mark.parametrize(("name", "eras"), TRIED)
def test_loads_without_an_unknown_kind_or_field(name: str, eras: tuple[str, ...]) -> None:
    for each in eras:
        loaded = load_paths([Path(FOLDER) / name], era=era(each), namespace="tutorial")
        assert [str(problem) for problem in loaded.problems] == []
        assert loaded.resources


@pytest.mark.skipif(not FOLDER, reason="MESH_LAB_TUTORIAL names no folder istiofiles")
def test_nothing_else_is_in_the_folder() -> None:
    here = {each.name for each in Path(FOLDER).iterdir() if each.suffix in (".yml", ".yaml")}
    assert here == {name for name, _ in TRIED}
