"""Case files: what can be said, and how a wrong one is told."""

from pathlib import Path

import pytest

from mesh.conformance.case import Case, CaseError, read_case, read_cases

CASE = """\
name: a case
topology: {services: {backend: , client: }}
traffic:
  - from: client
    to: http://backend:8080/
    expect: {status: 200}
"""


def write(folder: Path, text: str) -> Path:
    path = folder / "case.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_case(tmp_path: Path) -> None:
    ((file, case),) = read_cases([write(tmp_path, CASE).parent])
    assert file.name == "case.yaml"
    assert case.traffic[0].source == "client"
    assert case.engines == ("mitmproxy", "envoy")


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("status: 200", "statuss: 200", "traffic.0.expect.statuss"),
        (
            "to: http",
            "kill: backend\n    to: http",
            "a step has one of: to, apply, kill, restart, wait, release",
        ),
        ("services:", "service:", "did you mean 'services'"),
        ("name: a case", "name: [", "while parsing"),
        ("traffic:", "engines: [nginx]\ntraffic:", "engines.0"),
        ("topology: {services: {backend: , client: }}", "topology: one", "no topologies/one.yaml"),
        ("expect: {status: 200}", "background: true", "need a release step"),
        ("expect:", "background: true\n    expect:", "expected where they are released"),
    ],
)
def test_a_wrong_case_is_told_by_file_and_place(
    tmp_path: Path, old: str, new: str, words: str
) -> None:
    path = write(tmp_path, CASE.replace(old, new, 1))
    with pytest.raises(CaseError, match=r"case\.yaml") as caught:
        read_case(path)
    assert words in str(caught.value)


def test_a_topology_by_name(tmp_path: Path) -> None:
    (tmp_path / "topologies").mkdir()
    (tmp_path / "topologies" / "one.yaml").write_text("services: {backend: }")
    (tmp_path / "cases").mkdir()
    text = CASE.replace("topology: {services: {backend: , client: }}", "topology: one")
    write(tmp_path / "cases", text)
    ((_, case),) = read_cases([tmp_path])
    assert [service.name for service in case.mesh.services] == ["backend"]


def test_no_case_at_all(tmp_path: Path) -> None:
    with pytest.raises(CaseError, match="there is no case"):
        read_cases([tmp_path])
    with pytest.raises(CaseError, match="No such file"):
        read_cases([tmp_path / "gone.yaml"])


def load(**changes: object) -> Case:
    base: dict[str, object] = {
        "name": "x",
        "topology": {"services": {"backend": None}},
        "traffic": [{"to": "/"}],
    }
    return Case.model_validate(base | changes)


def test_testbeds_are_shared_only_where_no_state_is() -> None:
    assert load().testbed_key == load(name="y").testbed_key
    assert load().testbed_key != load(era="istio-1.0").testbed_key
    assert load(fresh=True).testbed_key != load(name="y", fresh=True).testbed_key
    kill = [{"kill": "backend"}]
    assert load(traffic=kill).testbed_key != load(name="y", traffic=kill).testbed_key
    script = {"services": {"backend": {"options": {"script": [{"status": 500}]}}}}
    assert load(topology=script).testbed_key != load(name="y", topology=script).testbed_key


def test_a_known_difference_replaces_what_it_names() -> None:
    case = load(
        traffic=[
            {
                "to": "/",
                "expect": {"status": 200, "body": "a"},
                "known_difference": {"engine": "envoy", "reason": "r", "expect": {"body": "b"}},
            }
        ]
    )
    assert case.traffic[0].expected("mitmproxy").body == "a"
    assert case.traffic[0].expected("envoy").body == "b"
    assert case.traffic[0].expected("envoy").status == 200


def test_draws_are_compared_as_sets() -> None:
    assert load().traffic[0].how == "multiset"
    spread = load(traffic=[{"to": "/", "expect": {"backends": {"backend-v1": [1, 9]}}}])
    assert spread.traffic[0].how == "set"
    bounds = load(traffic=[{"to": "/", "expect": {"status": {200: [1, 2]}}}])
    assert bounds.traffic[0].how == "set"
