"""The Terraform modules parse, and every name they use is declared."""

from __future__ import annotations

import re
import shutil
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import hcl2
import pytest

ROOT = Path(__file__).parents[2] / "deploy" / "terraform"
MODULES = sorted(path for path in ROOT.iterdir() if path.is_dir())
BUILT_IN = {"var", "module", "local", "path", "each", "count", "self", "data", "terraform"}


@cache
def parsed(file: Path) -> dict[str, Any]:
    with file.open(encoding="utf-8") as stream:
        return hcl2.load(stream)  # type: ignore[attr-defined, no-any-return]


def blocks(module: Path, kind: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for file in sorted(module.glob("*.tf")):
        found += parsed(file).get(kind, [])
    return found


def bare(name: str) -> str:
    return name.strip('"')


def names(module: Path, kind: str) -> set[str]:
    return {bare(name) for block in blocks(module, kind) for name in block}


def text(module: Path) -> str:
    whole = "\n".join(file.read_text(encoding="utf-8") for file in sorted(module.glob("*.tf")))
    return re.sub(r"#.*", "", whole)


def test_there_are_modules_for_a_desk_and_a_cloud() -> None:
    assert {each.name for each in MODULES} == {"aks", "istio", "kind"}


@pytest.mark.parametrize("module", MODULES, ids=lambda path: path.name)
def test_every_variable_and_output_says_what_it_is(module: Path) -> None:
    declared = [(kind, block) for kind in ("variable", "output") for block in blocks(module, kind)]
    assert declared
    for kind, block in declared:
        for name, body in block.items():
            assert body.get("description"), f"{module.name}: {kind} {name}"
            assert kind == "output" or "type" in body, f"{module.name}: {name}"


@pytest.mark.parametrize("module", MODULES, ids=lambda path: path.name)
def test_every_reference_leads_somewhere(module: Path) -> None:
    used = set(re.findall(r"\bvar\.(\w+)", text(module)))
    assert used == names(module, "variable")
    assert set(re.findall(r"\bmodule\.(\w+)", text(module))) <= names(module, "module")
    resources = {
        (bare(kind), bare(name))
        for block in blocks(module, "resource")
        for kind, body in block.items()
        for name in body
    }
    kinds = {kind for kind, _ in resources}
    for kind, name in re.findall(r"\b([a-z]+_[a-z_]+)\.(\w+)\.", text(module)):
        if kind in kinds:
            assert (kind, name) in resources


@pytest.mark.parametrize("module", MODULES, ids=lambda path: path.name)
def test_modules_are_given_what_they_need(module: Path) -> None:
    for block in blocks(module, "module"):
        for body in block.values():
            called = (module / bare(body["source"])).resolve()
            given = {bare(each) for each in body} - {"source"} - {"__is_block__"}
            optional = {
                bare(name)
                for each in blocks(called, "variable")
                for name, fields in each.items()
                if "default" in fields
            }
            needed = names(called, "variable")
            assert needed - optional <= given <= needed


@pytest.mark.parametrize("module", MODULES, ids=lambda path: path.name)
def test_every_provider_has_a_version(module: Path) -> None:
    pinned = re.findall(r'source\s+= "(\S+)"\s+version = "(~> [\d.]+)"', text(module))
    assert pinned
    providers = {source.split("/")[1] for source, _ in pinned}
    used = {bare(kind).split("_")[0] for block in blocks(module, "resource") for kind in block}
    assert used <= providers


@pytest.mark.skipif(shutil.which("terraform") is None, reason="the program terraform is not there")
@pytest.mark.parametrize("module", MODULES, ids=lambda path: path.name)
def test_the_format_is_terraforms(module: Path) -> None:
    done = subprocess.run(
        ["terraform", "fmt", "-check", "-diff", module], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout
