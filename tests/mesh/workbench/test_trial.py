"""Trial: when two counts of answers differ, and a real mesh before and after a change."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.testbed.load_topology import load_topology
from mesh.testbed.local import LocalTestbed
from mesh.workbench import trial
from mesh.workbench.questions import Question

RULE = """\
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: b}
spec:
  host: b
  subsets: [{name: v1, labels: {version: v1}}, {name: v2, labels: {version: v2}}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: b}
spec:
  hosts: [b]
  http: [{route: [{destination: {host: b, subset: VERSION}}]}]
"""
TOPOLOGY = {
    "gateway": False,
    "services": {"a": None, "b": {"workloads": [{"version": "v1"}, {"version": "v2"}]}},
}


@given(st.dictionaries(st.sampled_from("abc"), st.integers(0, 500)))
def test_equal_counts_never_differ(counts: dict[str, int]) -> None:
    assert not trial.differ(counts, counts)


def test_another_answer_differs_and_luck_does_not() -> None:
    assert trial.differ({"200 v1": 100}, {"200 v2": 100})
    assert trial.differ({"200 v1": 100}, {"200 v1": 50, "503": 50})
    assert not trial.differ({"200 v1": 90, "200 v2": 10}, {"200 v1": 84, "200 v2": 16})


def test_a_change_is_seen_on_a_running_mesh(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    home: Path = tmp_path_factory.mktemp("h") / "m"
    monkeypatch.setenv("MESH_LAB_HOME", str(home))

    def start(engine: str) -> LocalTestbed:
        return LocalTestbed(load_topology(TOPOLOGY), engine=engine, era="istio-current")

    asked = [Question("http://b:8080/", "a-v1"), Question("http://a:8080/", "b-v1")]
    old, new = (
        [("o.yaml", RULE.replace("VERSION", "v1"))],
        [("n.yaml", RULE.replace("VERSION", "v2"))],
    )
    seen, found = trial.run(start, ["mitmproxy"], old, new, asked, 10)
    assert seen["mitmproxy"][0][asked[0]] == Counter({"200 b-v1": 10})
    assert seen["mitmproxy"][1][asked[0]] == Counter({"200 b-v2": 10})
    assert [each.question for each in found] == asked[:1]
