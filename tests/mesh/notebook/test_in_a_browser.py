"""Slides and JupyterLab as a lecturer opens them: in headless Chromium, without any network."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("selenium")
pytest.importorskip("jupyterlab")
pytest.importorskip("plotly")
from selenium.webdriver import Chrome, ChromeOptions
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import WebDriverWait

from mesh.notebook.slides import write_slides

KIT = Path(__file__).parents[3]
CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
PLOTLY = "application/vnd.plotly.v1+json"
PATIENCE = 300
"""Seconds after which a test gives up; nothing is judged by it."""
pytestmark = pytest.mark.skipif(
    not (CHROMIUM and DRIVER), reason="chromium and chromedriver are not installed"
)


@contextmanager
def browser() -> Iterator[Chrome]:
    """A browser that reaches this machine alone."""
    options = ChromeOptions()
    options.binary_location = CHROMIUM or ""
    for each in (
        "--headless=new",
        "--no-sandbox",
        "--disable-dev-shm-usage",
        "--window-size=1280,1000",
        "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
    ):
        options.add_argument(each)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = Chrome(options=options, service=Service(DRIVER))
    driver.set_page_load_timeout(PATIENCE)
    try:
        yield driver
    finally:
        driver.quit()


def until(driver: Chrome, question: Callable[[], object]) -> None:
    WebDriverWait(driver, PATIENCE).until(lambda _: question())


def asked(driver: Chrome) -> set[str]:
    """What the page asked for since the last time, without what was in it."""
    urls = set()
    for entry in driver.get_log("performance"):
        message = json.loads(entry["message"])["message"]
        if message["method"] == "Network.requestWillBeSent":
            urls.add(message["params"]["request"]["url"])
    return {url for url in urls if not url.startswith(("data:", "blob:"))}


def book() -> dict[str, Any]:
    """Two slides, the second with a figure."""
    figure = {"data": [{"type": "bar", "x": ["v1", "v2"], "y": [9, 1]}], "layout": {}}
    shown = {"output_type": "display_data", "data": {PLOTLY: figure, "text/plain": "nine to one"}}
    begins = {"slideshow": {"slide_type": "slide"}}
    return {
        "cells": [
            {"cell_type": "markdown", "source": "# First", "metadata": begins},
            {"cell_type": "markdown", "source": "# Second", "metadata": begins},
            {"cell_type": "code", "source": "draw()", "metadata": {}, "outputs": [shown]},
        ]
    }


def test_slides_turn_and_draw_without_network(tmp_path: Path) -> None:
    path = tmp_path / "slides.html"
    write_slides(book(), path)
    with browser() as driver:
        driver.get(path.as_uri())

        def heading() -> str:
            return driver.find_element(By.CSS_SELECTOR, "section.here h1").text

        assert heading() == "First"
        driver.find_element(By.TAG_NAME, "body").send_keys(Keys.ARROW_RIGHT)
        until(driver, lambda: heading() == "Second")
        until(
            driver, lambda: driver.find_elements(By.CSS_SELECTOR, "section.here .barlayer .point")
        )
        driver.find_element(By.TAG_NAME, "body").send_keys(Keys.ARROW_LEFT)
        until(driver, lambda: heading() == "First")
        assert {url.partition("#")[0] for url in asked(driver)} == {path.as_uri()}
        assert [each for each in driver.get_log("browser") if each["level"] == "SEVERE"] == []


@contextmanager
def lab(folder: Path) -> Iterator[str]:
    """What ``make notebooks`` starts, with settings of its own; the page's address."""
    own = {f"JUPYTER_{name}_DIR": str(folder / name) for name in ("CONFIG", "DATA", "RUNTIME")}
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "jupyterlab", "--ServerApp.root_dir=."),
            *("--no-browser", "--allow-root", "--ServerApp.port=0", "--IdentityProvider.token=t"),
        ],
        cwd=KIT,
        env={**os.environ, **own, "PYTHONPATH": "."},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stderr is not None
        for line in process.stderr:
            if "http://127.0.0.1:" in line:
                yield "http://127.0.0.1:" + line.split("http://127.0.0.1:")[1].partition("/")[0]
                break
        else:
            pytest.fail("JupyterLab said no address")
    finally:
        process.terminate()
        try:
            process.communicate(timeout=30)
        except subprocess.TimeoutExpired:
            # Seen once on a busy machine: its own shutdown was over, and a worker thread of AnyIO's,
            # which is not a daemon, still waited for work that nobody would send.
            process.kill()
            process.communicate()


def test_jupyterlab_opens_a_notebook_without_network(tmp_path: Path) -> None:
    with lab(tmp_path) as address, browser() as driver:
        driver.get(f"{address}/lab/tree/notebooks/7-statistics-of-grading.ipynb?token=t")
        until(driver, lambda: driver.find_elements(By.CSS_SELECTOR, ".jp-Notebook .jp-Cell h1"))
        title = driver.find_element(By.CSS_SELECTOR, ".jp-Notebook .jp-Cell h1").text
        assert title.startswith("Act 7: Statistics of grading")
        assert all(url.startswith((address, "chrome:")) for url in asked(driver))
