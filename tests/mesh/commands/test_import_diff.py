"""``meshctl import`` and ``meshctl diff``, on files."""

from __future__ import annotations

import json
from pathlib import Path

import yaml
from click.testing import Result
from typer.testing import CliRunner

from mesh.cli import app
from mesh.testbed.load_topology import load_topology
from tests.mesh.kubernetes.test_importing import CLUSTER

SUBSETS = """\
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: recommendation}
spec:
  host: recommendation
  subsets: [{name: v1, labels: {version: v1}}, {name: v2, labels: {version: v2}}]
"""
SPLIT = """\
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: recommendation}
spec:
  hosts: [recommendation]
  http:
  - match: [{headers: {user-preference: {exact: '123'}}}]
    route: [{destination: {host: recommendation, subset: SPECIAL}}]
  - route: [{destination: {host: recommendation, subset: v1}}]
"""


def meshctl(*words: object) -> Result:
    return CliRunner().invoke(app, [str(word) for word in words])


def test_an_import_can_be_started(tmp_path: Path) -> None:
    (tmp_path / "all.yaml").write_text(
        CLUSTER + "---\napiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {name: old}\n"
    )
    result = meshctl("import", tmp_path / "all.yaml", "-o", tmp_path / "out")
    assert result.exit_code == 0, result.output
    assert "Ingress is left out" in result.output
    assert "2 services" in result.output
    raw = yaml.safe_load((tmp_path / "out" / "topology.yaml").read_text())
    assert load_topology(raw["topology"]).services[0].name == "reviews"
    assert "kind: VirtualService" in (tmp_path / "out" / "config.yaml").read_text()


def test_an_import_without_services_is_refused(tmp_path: Path) -> None:
    (tmp_path / "vs.yaml").write_text(SUBSETS)
    result = meshctl("import", tmp_path / "vs.yaml", "-o", tmp_path / "out")
    assert result.exit_code == 1
    assert "no Service among these files" in result.output
    assert not (tmp_path / "out").exists()


def files(tmp_path: Path) -> tuple[Path, Path, Path]:
    paths = tmp_path / "rules.yaml", tmp_path / "old.yaml", tmp_path / "new.yaml"
    texts = SUBSETS, SPLIT.replace("SPECIAL", "v1"), SPLIT.replace("SPECIAL", "v2")
    for path, text in zip(paths, texts, strict=True):
        path.write_text(text)
    return paths


def test_a_diff_names_the_proxies_and_the_requests(tmp_path: Path) -> None:
    rules, old, new = files(tmp_path)
    result = meshctl("diff", old, new, "--with", rules, "-o", "json")
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    (change,) = found["xds"]
    assert (change["type"], change["name"], change["kind"]) == ("RDS", "http_proxy", "changed")
    assert len(change["proxies"]) == 4
    assert "outbound|8080|v2|recommendation" in change["diff"]
    (request,) = found["requests"]
    assert request["request"].endswith("user-preference=123")
    assert "recommendation-v1" in request["old"][0]
    assert "recommendation-v2" in request["new"][0]


def test_a_diff_of_the_same_is_empty(tmp_path: Path) -> None:
    rules, old, _ = files(tmp_path)
    result = meshctl("diff", old, old, "--with", rules)
    assert "no proxy is sent anything else" in result.output
    assert "0 of " in result.output


def test_requests_of_ones_own_are_asked(tmp_path: Path) -> None:
    rules, old, new = files(tmp_path)
    own = tmp_path / "requests.yaml"
    own.write_text(
        "- {url: 'http://recommendation:8080/x', from: customer, headers: {user-preference: '123'}}\n"
    )
    result = meshctl("diff", old, new, "--with", rules, "--requests", own)
    assert "customer GET http://recommendation:8080/x user-preference=123" in result.output
    own.write_text("- {url: [}\n")
    assert "requests.yaml:1:" in meshctl("diff", old, new, "--requests", own).output


def test_a_refused_file_stops_a_diff(tmp_path: Path) -> None:
    rules, old, _ = files(tmp_path)
    (tmp_path / "bad.yaml").write_text(SPLIT.replace("route:", "rout:", 1))
    result = meshctl("diff", old, tmp_path / "bad.yaml", "--with", rules)
    assert result.exit_code == 1
    assert "bad.yaml:8:" in result.output
