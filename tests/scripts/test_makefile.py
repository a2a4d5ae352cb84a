"""The Makefile: its help is made of its comments, and options reach the command unharmed."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture
def kit(tmp_path: Path) -> Path:
    """A kit whose set-up does nothing and whose commands print their arguments, one a line."""
    folder = tmp_path / "a kit"
    for name in ("scripts", ".venv/bin", "requirements"):
        (folder / name).mkdir(parents=True)
    shutil.copy(ROOT / "Makefile", folder)
    (folder / "scripts/bootstrap.sh").write_text('echo "set-up: $*"\n')
    for name in ("grade", "meshctl", "python"):
        command = folder / ".venv/bin" / name
        command.write_text(
            f'#!/bin/sh\necho {name}\nfor each in "$@"; do echo "[$each]"; done\nexit ${{CODE:-0}}\n'
        )
        command.chmod(0o755)
    return folder


def make(folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    inherited = {
        name: value
        for name, value in os.environ.items()
        if not re.match(
            r"MAKE|MFLAGS|WORK$|STUDENT$|COURSE$|OUT$|JUDGES$|ENGINE$|RUNTIME$|KEEP$|SOLUTION$|ARGS$|CASES$"
            r"|SCENE$|REPLAY$",
            name,
        )
    }
    return subprocess.run(
        ["make", *arguments],
        cwd=folder,
        env=inherited | environment,
        capture_output=True,
        text=True,
        check=False,
    )


def test_help_names_every_target(kit: Path) -> None:
    text = make(kit, "help").stdout
    assert make(kit).stdout == text
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = re.findall(r"^([a-z]+(?:-%)?):(?!=)", makefile, re.MULTILINE)
    assert {"lab-%", "watch-%", "reset-%", "test", "lint", "conformance", "bench"} <= set(targets)
    for target in targets:
        assert f"make {target.replace('%', 'N')} " in text


@pytest.mark.parametrize(
    ("arguments", "groups", "command"),
    [
        (["lab-1"], "core", ["grade", "[lab]", "[1]"]),
        (["lab-1", "SOLUTION=1"], "core", ["grade", "[lab]", "[1]", "[--solution]"]),
        (["lab-1", "SOLUTION=0", "KEEP="], "core", ["grade", "[lab]", "[1]"]),
        (
            ["lab-12", "WORK=my $files's", "KEEP=1"],
            "core",
            ["grade", "[lab]", "[12]", "[--work]", "[my $files's]", "[--keep]"],
        ),
        (
            ["lab-1", "ENGINE=envoy", "RUNTIME=local"],
            "core envoy",
            ["grade", "[lab]", "[1]", "[--runtime]", "[local]", "[--engine]", "[envoy]"],
        ),
        (["watch-3"], "core", ["grade", "[watch]", "[3]"]),
        (["reset-3"], "core", ["grade", "[reset]", "[3]"]),
        (["hint-3"], "core", ["grade", "[hint]", "[3]"]),
        (["submit-3"], "core", ["grade", "[submit]", "[3]"]),
        (["progress"], "core", ["grade", "[progress]"]),
        (
            ["lab-2", "STUDENT=ann's file.toml"],
            "core",
            ["grade", "[lab]", "[2]", "[--student]", "[ann's file.toml]"],
        ),
        (["handout"], "core", ["grade", "[handout]", "[dist/handout]"]),
        (
            ["handout", "OUT=my tree", "COURSE=a course", "JUDGES=1"],
            "core",
            ["grade", "[handout]", "[my tree]", "[--course]", "[a course]", "[--judges]"],
        ),
        (["new-lab", "NUMBER=6", "NAME=x-y"], "core", ["grade", "[new-lab]", "[6]", "[x-y]"]),
        (["demo"], "core console", ["meshctl", "[demo]"]),
        (
            ["demo", "SCENE=2", "REPLAY=1", "ENGINE=envoy"],
            "core console envoy",
            ["meshctl", "[demo]", "[2]", "[--engine]", "[envoy]", "[--replay]"],
        ),
        (["labs", "ARGS=1 --few"], "core envoy", ["grade", "[labs]", "[1]", "[--few]"]),
    ],
)
def test_options(kit: Path, arguments: list[str], groups: str, command: list[str]) -> None:
    escaped = [each.replace("$", "$$") for each in arguments]
    done = make(kit, *escaped)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [f"set-up: {groups}", *command]


def test_a_file_of_the_targets_name_is_in_nobodys_way(kit: Path) -> None:
    (kit / "lab-1").touch()
    assert "grade" in make(kit, "lab-1").stdout


def test_a_failure_is_2(kit: Path) -> None:
    done = make(kit, "lab-1", CODE="3")
    assert done.returncode == 2
    assert "Error 3" in done.stderr


def test_test_installs_the_groups_it_needs(kit: Path) -> None:
    done = make(kit, "test", "ARGS=-k routing")
    assert done.stdout.splitlines() == [
        "set-up: core dev console notebooks envoy?",
        "python",
        "[-m]",
        "[pytest]",
        "[-k]",
        "[routing]",
    ]
