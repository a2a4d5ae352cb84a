from __future__ import annotations

import pytest

from mesh.pilot.translate import names

HOST = "recommendation.tutorial.svc.cluster.local"


def test_domains_of_the_own_namespace_include_the_short_name() -> None:
    found = names.domains(HOST, "tutorial", 8080, portless=True)
    assert found[:2] == [HOST, f"{HOST}:8080"]
    assert {"recommendation", "recommendation:8080", "recommendation.tutorial.svc:8080"} <= set(
        found
    )


def test_domains_elsewhere_do_not() -> None:
    found = names.domains(HOST, "other", 8080, portless=False)
    assert found == [
        f"{HOST}:8080",
        "recommendation.tutorial.svc:8080",
        "recommendation.tutorial:8080",
    ]


def test_cluster_names_are_istios_and_are_read_back() -> None:
    cluster = names.outbound(8080, "version-v1", HOST)
    assert cluster == f"outbound|8080|version-v1|{HOST}"
    assert names.parse(cluster) == ("outbound", 8080, "version-v1", HOST)
    assert names.inbound(8080) == "inbound|8080||"


@pytest.mark.parametrize(
    ("pattern", "host", "fits"),
    [
        ("*", HOST, True),
        ("*.tutorial.svc.cluster.local", HOST, True),
        ("*.other", HOST, False),
        (HOST, HOST, True),
    ],
)
def test_patterns(pattern: str, host: str, fits: bool) -> None:
    assert names.covers(pattern, host) is fits


def test_the_name_itself_wins_then_the_longest_suffix() -> None:
    assert names.most_specific(["*", "*.cluster.local", HOST], HOST) == HOST
    assert names.most_specific(["*", "*.cluster.local"], HOST) == "*.cluster.local"
    assert names.most_specific(["a"], HOST) is None
