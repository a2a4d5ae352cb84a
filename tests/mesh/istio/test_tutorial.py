"""The YAML of redhat-scholars/istio-tutorial, at commit aea73b381c599504bbed332fa42be6e4ca60bf74.

None of its files is copied here: with a checkout in ``ISTIO_TUTORIAL`` the test reads all of
``istiofiles/``; every file must be clean in one of the eras it was written for.
"""

import os
from pathlib import Path

import pytest

from mesh.istio import Level, era, load_paths, validate

CHECKOUT = Path(os.environ.get("ISTIO_TUTORIAL", "/nonexistent")) / "istiofiles"

#: Files of Mixer, ServiceRole and Policy; all the others are for 1.9 and today.
OLD = {
    "acl-blacklist.yml",
    "acl-deny-except-customer2preference2recommendation.yml",
    "acl-whitelist.yml",
    "authentication-enable-tls.yml",
    "authorization-enable-rbac.yml",
    "namespace-rbac-policy.yml",
    "old-namespace-rbac-policy-jwt.yml",
    "rate_limit_rule.yml",
    "recommendation_rate_limit_handler.yml",
    "recommendation_requestcount.yml",
}


@pytest.mark.skipif(
    not CHECKOUT.is_dir(), reason="set ISTIO_TUTORIAL to a checkout of the tutorial"
)
def test_every_file_is_known_to_its_eras() -> None:
    files = sorted(each for each in CHECKOUT.iterdir() if each.suffix in (".yml", ".yaml"))
    assert len(files) >= 50
    assert {each.name for each in files} >= OLD
    for file in files:
        for name in ["istio-1.0"] if file.name in OLD else ["istio-1.9", "istio-1.28"]:
            which = era(name)
            loaded = load_paths([file], era=which)
            problems = [*loaded.problems, *validate(loaded.resources, which)]
            assert [each for each in problems if each.level is Level.ERROR] == [], file.name
            assert loaded.resources
