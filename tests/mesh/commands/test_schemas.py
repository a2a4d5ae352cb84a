"""``meshctl schemas``."""

from pathlib import Path

from typer.testing import CliRunner

from mesh.cli import app
from mesh.istio.kinds import KINDS


def test_schemas_are_written(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["schemas", str(tmp_path / "new")])
    assert result.exit_code == 0, result.output
    assert f"{len(KINDS) + 1} schemas" in result.output
    assert (tmp_path / "new" / "all.json").is_file()


def test_a_file_in_the_way_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    result = CliRunner().invoke(app, ["schemas", str(tmp_path / "file")])
    assert result.exit_code == 1
    assert "cannot write schemas" in result.output
