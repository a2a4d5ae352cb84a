"""Istio's own table of tests of ``istioctl analyze``, read out of a copy of its source.

A case is a few files and what one analyzer says about them: codes and the resources they belong to.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from mesh.istio import era, load_text
from mesh.istio.analyze import analyze
from mesh.istio.problem import Problem

type Said = Counter[tuple[str, str]]
"""Pairs of a code and a resource (``VirtualService foo/productpage``), with how often."""

_CASE = re.compile(r"\n\t\{\n(.*?)\n\t\},", re.S)
_EXPECTED = re.compile(r'\{msg\.(\w+), "([^"]*)"\}')
_ONE_ANALYZER = {
    "gateway.": "selector|credentialName",
    "sidecar.": "selector",
    "telemetry.": "selector",
    "authz.": "namespace",
    "virtualservice.DestinationHost": "host|mirror host|host:port",
    "virtualservice.DestinationRule": r"\S+\+subset in destinationrule",
    "virtualservice.Gateway": "gateway",
}
"""Which references an analyzer of Istio's follows; ours are told all together."""
DEFAULTS = """\
apiVersion: v1
kind: Pod
metadata: {name: a-gateway, namespace: istio-system, labels: {istio: ingressgateway}}
spec: {containers: [{name: istio-proxy, image: proxyv2}]}
---
apiVersion: v1
kind: Service
metadata: {name: istio-ingressgateway, namespace: istio-system, labels: {istio: ingressgateway}}
spec:
  selector: {istio: ingressgateway}
  ports:
  - {name: http2, port: 80, targetPort: 80, protocol: TCP}
  - {name: https, port: 443, targetPort: 443, protocol: TCP}
  - {name: tcp, port: 31400, targetPort: 31400, protocol: TCP}
  - {name: tls, port: 15443, targetPort: 15443, protocol: TCP}
"""
"""The ingress gateway that istioctl believes in when it has files only."""
_WITH_GATEWAY = ("gateway.", "destinationrule.PodNotSelected", "virtualservice.JWT")
"""The analyzers that ask for its pods or its Service."""


@dataclass(frozen=True)
class Case:
    """One row of the table."""

    name: str
    files: tuple[Path, ...]
    mesh_config: Path | None
    analyzer: str
    expected: Said


def read_cases(folder: Path) -> list[Case]:
    """Read the table of ``pkg/config/analysis``."""
    codes = _codes(folder / "msg" / "messages.yaml")
    home = folder / "analyzers"
    text = (home / "analyzers_test.go").read_text(encoding="utf-8")
    grid = text[text.index("var testGrid") : text.index("var ignoreAnalyzers")]
    return list(_cases(grid, codes, home))


def _cases(grid: str, codes: dict[str, str], home: Path) -> Iterator[Case]:
    for (row,) in (match.groups() for match in _CASE.finditer(grid)):
        files = re.search(r"inputFiles:\s*\[\]string\{(.*?)\}", row, re.S)
        assert files, row
        config = re.search(r'meshConfigFile:\s*"([^"]*)"', row)
        expected = row.partition("expected:")[2]
        yield Case(
            _word(r'name:\s*"([^"]*)"', row),
            tuple(home / each for each in re.findall(r'"([^"]+)"', files[1])),
            home / config[1] if config else None,
            _word(r"analyzer:\s*&?([\w.]+)", row),
            Counter((codes[name], owner) for name, owner in _EXPECTED.findall(expected)),
        )


def _word(pattern: str, row: str) -> str:
    found = re.search(pattern, row)
    assert found, row
    return found[1]


def _codes(path: Path) -> dict[str, str]:
    return {
        each["name"]: each["code"]
        for each in yaml.safe_load(path.read_text(encoding="utf-8"))["messages"]
    }


def codes_by_analyzer(cases: list[Case]) -> dict[str, set[str]]:
    """Return which codes each analyzer says somewhere in the table."""
    found: dict[str, set[str]] = {}
    for case in cases:
        found.setdefault(case.analyzer, set()).update(code for code, _ in case.expected)
    return found


def ours(case: Case, codes: set[str]) -> Said:
    """Return what this kit says of a case's files in these codes."""
    documents = [DEFAULTS] if case.analyzer.startswith(_WITH_GATEWAY) else []
    for file in case.files:
        objects = yaml.safe_load_all(file.read_text(encoding="utf-8"))
        documents += [yaml.safe_dump(_as_served(each)) for each in objects]
    if case.mesh_config or case.analyzer.startswith("telemetry."):
        text = case.mesh_config.read_text(encoding="utf-8") if case.mesh_config else ""
        config = {"kind": "ConfigMap", "apiVersion": "v1", "data": {"mesh": text}}
        config["metadata"] = {"name": "istio", "namespace": "istio-system"}
        documents.append(yaml.safe_dump(config))
    release = era("istio-current")
    loaded = load_text("\n---\n".join(documents), era=release, namespace="")
    said = {
        (each.code, each.resource.replace(" /", " "), each.message)
        for each in analyze(loaded.resources, release)
        if each.code in codes and _concerns(case.analyzer, each)
    }  # istioctl tells the same sentence about the same resource once
    return Counter((code, owner) for code, owner, _ in said)


def _concerns(analyzer: str, problem: Problem) -> bool:
    kinds = next((kind for name, kind in _ONE_ANALYZER.items() if analyzer.startswith(name)), "")
    if problem.code != "IST0101" or not kinds:
        return True
    return re.match(f"Referenced ({kinds}) not found", problem.message) is not None


def _as_served(data: Any) -> Any:
    """Return an object as an API server could have it: a pod has containers, and they have names."""
    if isinstance(data, dict) and data.get("kind") == "Pod":
        spec = data.setdefault("spec", {})
        spec.setdefault("containers", [{"name": "app"}])
        for each in (*spec["containers"], *spec.get("initContainers", ())):
            each.setdefault("name", "app")
            if each["name"] == "istio-proxy":
                each.setdefault("image", "proxyv2")
    return data
