"""What a lab's folder may say about itself."""

from pathlib import Path

import pytest

from grader.lab import ENGINES, LabError, find_lab, read_lab
from grader.run import EXIT_USAGE, run_lab


def test_a_lab_names_the_engines_that_it_runs_on() -> None:
    assert find_lab(1).engines == ENGINES
    assert find_lab(13).engines == ("mitmproxy",)


def test_another_engine_is_refused_in_one_sentence(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run_lab(13, engine="envoy") == EXIT_USAGE
    assert "Lab 13 runs on mitmproxy only; its chapter says why." in capsys.readouterr().out


def test_an_unknown_key_is_named(tmp_path: Path) -> None:
    text = (find_lab(13).folder / "lab.yaml").read_text()
    (tmp_path / "lab.yaml").write_text(text.replace("engines:", "engine:"))
    with pytest.raises(LabError, match="unknown key 'engine'"):
        read_lab(tmp_path)
