"""``meshctl``: what every command promises, and errors as sentences."""

import subprocess
import sys
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from mesh.cli import app
from mesh.commands.errors import BUG, INTERRUPTED, REFUSED, Commands, UserError

runner = CliRunner()


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MESH_LAB_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("MESH_LAB_DEBUG", raising=False)


def test_help_names_every_command() -> None:
    done = runner.invoke(app, ["--help"])
    assert done.exit_code == 0
    for name in ("up", "down", "status", "apply", "get", "delete", "curl", "logs", "conform"):
        assert f"\n  {name} " in done.output


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys; from mesh.cli import app; "
        "print([m for m in ('mitmproxy', 'flask', 'pydantic', 'envoy_data_plane', 'scipy', 'rich', "
        "'yaml', 'requests') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    "arguments",
    [
        ["curl", "/"],
        ["apply", "-f", "/dev/null"],
        ["get"],
        ["down"],
        ["logs", "x"],
        ["proxy-status"],
        ["proxy-config", "routes", "x"],
        ["delete", "vs", "x"],
    ],
)
def test_without_a_mesh_it_says_how_to_start_one(arguments: list[str]) -> None:
    done = runner.invoke(app, arguments)
    assert done.exit_code == REFUSED
    assert "meshctl up" in done.stderr
    assert "Traceback" not in done.output


def test_status_without_a_mesh() -> None:
    assert "no mesh is running" in runner.invoke(app, ["status"]).stdout
    assert runner.invoke(app, ["status", "-o", "json"]).stdout.strip() == "[]"
    assert runner.invoke(app, ["down", "--all"]).exit_code == 0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["up", "--lab", "99"], "there is no lab 99; there are: 0, 1,"),
        (["up", "--lab", "1", "--topology", "x"], "not both"),
        (["up", "--topology", "/gone.yaml"], "/gone.yaml: No such file"),
        (["up", "--engine", "nginx"], "nginx"),
        (["up", "--era", "istio-7"], "istio-7"),
        (["get", "-o", "xml"], "choose text or json or yaml"),
        (["conform", "--engine", "nginx"], "choose mitmproxy, envoy or both"),
        (["conform", "/gone.yaml"], "/gone.yaml: No such file"),
        (["proxy-config", "filters", "x"], "choose clusters, endpoints, listeners, routes"),
        (["curl", "/", "-H", "nocolon"], "'NAME: VALUE'"),
        (["delete", "vs"], "KIND and NAME"),
    ],
)
def test_wrong_arguments(arguments: list[str], words: str) -> None:
    done = runner.invoke(app, arguments)
    assert done.exit_code == REFUSED
    assert words in done.stderr
    assert "Traceback" not in done.output


def test_a_topology_that_does_not_parse(tmp_path: Path) -> None:
    file = tmp_path / "mesh.yaml"
    file.write_text("services:\n  a: [\n", encoding="utf-8")
    done = runner.invoke(app, ["up", "--topology", str(file)])
    assert done.exit_code == REFUSED
    assert f"{file}:3:1" in done.stderr


def test_validate(tmp_path: Path) -> None:
    file = tmp_path / "vs.yaml"
    file.write_text(
        "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: a}\n"
        "spec: {hosts: [a], http: [{route: [{destination: {host: a}}]}]}\n",
        encoding="utf-8",
    )
    done = runner.invoke(app, ["validate", str(file)])
    assert done.exit_code == 0, done.output
    assert "1 resources are valid" in done.stdout
    file.write_text("kind: [", encoding="utf-8")
    broken = runner.invoke(app, ["validate", str(file)])
    assert broken.exit_code == REFUSED
    assert str(file) in broken.stdout


def test_wrong_use_is_2() -> None:
    assert runner.invoke(app, ["no-such-command"]).exit_code == 2
    assert runner.invoke(app, ["apply"]).exit_code == 2


def group_raising(error: BaseException) -> typer.Typer:
    group = typer.Typer(cls=Commands, rich_markup_mode=None, pretty_exceptions_enable=False)

    @group.callback()
    def top() -> None:
        """Two levels, as meshctl has."""

    @group.command("go")
    def go() -> None:
        raise error

    return group


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (UserError("do that"), REFUSED, "✗ do that"),
        (KeyboardInterrupt(), INTERRUPTED, "stopped"),
        (ZeroDivisionError("x"), BUG, "a bug of the kit: ZeroDivisionError: x"),
        (PermissionError(13, "Permission denied", "/f"), REFUSED, "/f: Permission denied"),
        (typer.Exit(5), 5, ""),
    ],
)
def test_errors_end_in_a_sentence(error: BaseException, code: int, words: str) -> None:
    done = runner.invoke(group_raising(error), ["go"])
    assert done.exit_code == code
    assert words in done.stderr
