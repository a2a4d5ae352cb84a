"""``meshctl demo`` where no mesh can start: a recorded run in a real browser, and nothing left behind."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

pytest.importorskip("dash", reason="the console's packages are not installed (make test does)")

ROOT = Path(__file__).resolve().parents[3]
MESHCTL = [sys.executable, "-m", "mesh.cli"]


def meshctl(*words: str, **environment: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*MESHCTL, *words],
        cwd=ROOT,
        env={**os.environ, "PYTHONUNBUFFERED": "1", **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.fixture(scope="module")
def replayed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    """Address of the page of scene 2, and what the command said on standard error."""
    home = tmp_path_factory.mktemp("h") / "file"
    home.touch()  # a mesh needs a folder there
    words = ("demo", "2", "--no-browser", "--port", "0")
    process = meshctl(*words, MESH_LAB_HOME=str(home / "m"))
    assert process.stdout is not None
    assert process.stderr is not None
    said = process.stderr.readline()
    found = re.search(r"http://\S+", process.stdout.readline())
    assert found is not None, process.stderr.read()
    yield found[0], said
    process.send_signal(signal.SIGINT)
    _, rest = process.communicate()
    assert process.returncode == 0, rest
    assert "Traceback" not in rest


def test_it_says_why_it_is_a_recorded_run(replayed: tuple[str, str]) -> None:
    address, said = replayed
    assert "The mesh does not start" in said
    assert "this is a recorded run" in said
    assert requests.get(address, timeout=30).status_code == 200


def test_the_list_of_scenes_and_wrong_numbers() -> None:
    process = meshctl("demo")
    said, _ = process.communicate()
    assert process.returncode == 0
    assert "Canary release" in said
    process = meshctl("demo", "99")
    _, wrong = process.communicate()
    assert process.returncode == 1
    assert "there is no scene 99" in wrong
    assert "Traceback" not in wrong


@pytest.mark.skipif(
    not (shutil.which("chromium") and shutil.which("chromedriver")),
    reason="chromium and chromedriver are not installed",
)
def test_the_page_of_a_recorded_run(replayed: tuple[str, str]) -> None:
    pytest.importorskip("selenium")

    from tests.mesh.console.test_page import Page, browser, shares

    with browser() as driver:
        page = Page(driver)
        driver.get(replayed[0])
        page.until(lambda: "Canary release" in page.find("scene-title"))
        assert "This is a replay of a run recorded on" in page.find("replayed")
        page.until(lambda: len(shares(page.find("edges"))) == 2)
        page.click("reset")
        page.until(lambda: "begins again" in page.find("said"))
        page.open("requests")
        page.click("send")
        page.until(lambda: "in the recorded run" in page.find("answer"))
        page.until(lambda: "recommendation-v" in page.find("explanation"))
        page.open("chaos")
        page.click("kill")
        page.until(lambda: "nothing can be changed" in page.find("said"))
        wrong = [each for each in driver.get_log("browser") if each["level"] == "SEVERE"]
        assert wrong == []
