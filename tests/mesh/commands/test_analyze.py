"""meshctl analyze and fix: exit codes, the JSON form, and files that are really rewritten."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from mesh.cli import app

BAD = """\
# canary
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata:
  name: recommendation
spec:
  hosts:
    - recommendation
  http:
    - route:
        - destination:
            host: recommendation
            weight: 90
"""
WARNS = """\
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata:
  name: recommendation
spec:
  hosts: [recommendation]
  http:
    - route:
        - destination: {host: recommendation}
      retries: {attempts: 3, perTryTimeout: 2s}
"""
TOPOLOGY = "services:\n  customer:\n  recommendation:\n"
KEYS = ["code", "level", "message", "file", "line", "column", "path", "hint", "fix"]


def meshctl(*words: object) -> Result:
    return CliRunner().invoke(app, [str(word) for word in words])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "bad.yaml").write_text(BAD)
    (tmp_path / "warns.yaml").write_text(WARNS)
    (tmp_path / "mesh.yml.txt").write_text(TOPOLOGY)
    return tmp_path


def test_errors_are_exit_code_1_with_place_hint_and_fix(folder: Path) -> None:
    result = meshctl("analyze", folder / "bad.yaml")
    assert result.exit_code == 1
    assert (
        "bad.yaml:13:13: error [IST0106] (VirtualService tutorial/recommendation)" in result.output
    )
    assert "move it 1 level up" in result.output
    assert "meshctl fix" in result.output


def test_json(folder: Path) -> None:
    result = meshctl("analyze", "-o", "json", folder)
    assert result.exit_code == 1
    found = json.loads(result.stdout)
    assert [(each["code"], Path(each["file"]).name, each["line"]) for each in found] == [
        ("IST0106", "bad.yaml", 13),
        ("KIT0101", "warns.yaml", 10),
    ]
    for each in found:
        assert set(KEYS) <= set(each)
        assert each["hint"]
    assert found[0]["fix"]


def test_warnings_are_exit_code_0(folder: Path) -> None:
    result = meshctl("analyze", folder / "warns.yaml")
    assert result.exit_code == 0
    assert "KIT0101" in result.output
    old = meshctl("analyze", "--era", "istio-1.0", folder / "warns.yaml")
    assert old.exit_code == 0
    assert "No problems in 1 resource (istio-1.0)" in old.output, "1.0 repeats 5xx by default"


@pytest.mark.parametrize(
    "words",
    [
        ("analyze",),
        ("analyze", "no-such-file.yaml"),
        ("analyze", "--era", "istio-9", "."),
        ("fix", "no-such-file.yaml"),
        ("fix", "."),
        ("describe", "node", "a", "--lab", "1"),
    ],
)
def test_wrong_use_is_exit_code_2(words: tuple[str, ...]) -> None:
    assert meshctl(*words).exit_code == 2


def test_services_of_a_topology_are_known(folder: Path) -> None:
    (folder / "warns.yaml").write_text(WARNS.replace("recommendation}", "recomendation}"))
    assert meshctl("analyze", folder / "warns.yaml").exit_code == 0
    result = meshctl("analyze", "--topology", folder / "mesh.yml.txt", folder / "warns.yaml")
    assert result.exit_code == 1
    assert "Did you mean recommendation?" in result.output


def test_fix_explains_and_writes_only_when_told(folder: Path) -> None:
    file = folder / "bad.yaml"
    file.chmod(0o640)
    shown = meshctl("fix", file)
    assert shown.exit_code == 0
    assert "1. " in shown.output
    assert "it belongs to spec.http[0].route[0]" in shown.output
    assert "-            weight: 90" in shown.output
    assert "+          weight: 90" in shown.output
    assert file.read_text() == BAD
    written = meshctl("fix", "--write", file)
    assert written.exit_code == 0
    assert file.read_text() == BAD.replace("            weight", "          weight")
    assert file.stat().st_mode & 0o777 == 0o640
    assert sorted(each.name for each in folder.iterdir()) == [
        "bad.yaml",
        "mesh.yml.txt",
        "warns.yaml",
    ]
    assert "nothing to repair" in meshctl("fix", file).output


def test_what_fix_cannot_do_is_said(folder: Path) -> None:
    file = folder / "bad.yaml"
    file.write_text(BAD.replace("weight: 90", "colour: red"))
    result = meshctl("fix", file)
    assert result.exit_code == 1
    assert "Left for you" in result.output
    assert "colour" in result.output


def test_bytes_that_are_no_text_are_one_sentence(folder: Path) -> None:
    file = folder / "bad.yaml"
    file.write_bytes(b"kind: \xff\xfe")
    for command in ("analyze", "fix"):
        result = meshctl(command, file)
        assert result.exit_code == 1
        assert "is not UTF-8" in result.output
        assert "Traceback" not in result.output
