"""The page in a real browser: headless Chromium, driven by its own driver.

With MESH_LAB_PICTURES naming a folder the screenshots of the docs are written there.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

pytest.importorskip("selenium")
from selenium.webdriver import Chrome, ChromeOptions
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import WebDriverWait

from tests.mesh.console.conftest import Console

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
PICTURES = os.environ.get("MESH_LAB_PICTURES", "")
ONLY_V2 = """\
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: recommendation}
spec:
  host: recommendation
  subsets: [{name: v2, labels: {version: v2}}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: recommendation}
spec:
  hosts: [recommendation]
  http: [{route: [{destination: {host: recommendation, subset: v2}}]}]
"""
pytestmark = pytest.mark.skipif(
    not (CHROMIUM and DRIVER), reason="chromium and chromedriver are not installed"
)


class Page:
    """The browser on the console's page."""

    def __init__(self, driver: Chrome) -> None:
        self.driver = driver

    def find(self, name: str) -> str:
        return self.driver.find_element(By.ID, name).text

    def until(self, question: Callable[[], object]) -> None:
        WebDriverWait(self.driver, 60).until(lambda _: question())

    def open(self, view: str) -> None:
        self.driver.find_element(By.ID, f"to-{view}").click()
        self.until(lambda: self.driver.find_element(By.ID, f"section-{view}").is_displayed())

    def write(self, name: str, text: str) -> None:
        field = self.driver.find_element(By.ID, name)
        field.send_keys(Keys.CONTROL, "a")
        field.send_keys(text)

    def click(self, name: str) -> None:
        self.driver.find_element(By.ID, name).click()

    def change(self, name: str, said: str) -> None:
        """Click, and wait until the page says that, and not what it said before."""
        before = self.find("said")
        self.click(name)
        self.until(lambda: self.find("said") != before and said in self.find("said"))

    def picture(self, name: str) -> None:
        if PICTURES:
            self.driver.save_screenshot(str(Path(PICTURES) / f"console-{name}.png"))


@contextmanager
def browser() -> Iterator[Chrome]:
    """A browser of its own while the block runs."""
    options = ChromeOptions()
    options.binary_location = CHROMIUM or ""
    for each in (
        "--headless=new",
        "--no-sandbox",
        "--disable-dev-shm-usage",
        "--window-size=1280,1000",
    ):
        options.add_argument(each)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = Chrome(options=options, service=Service(DRIVER))
    try:
        yield driver
    finally:
        driver.quit()


@pytest.fixture(scope="module")
def page(console: Console) -> Iterator[Page]:
    with browser() as driver:
        for _ in range(40):
            assert console.bed.request("/customer").status == 200
        driver.get(console.way_in)
        yield Page(driver)


def shares(text: str) -> dict[str, float]:
    """Read the table of calls: ``preference v1 recommendation v2 ... 51.0% ...``."""
    found = {}
    for line in text.splitlines():
        words = line.split()
        if "%" in line and words[:2] == ["preference", "v1"]:
            found[" ".join(words[2:4])] = float(words[6].rstrip("%"))
    return found


def test_the_graph_shows_the_split(page: Page) -> None:
    page.until(lambda: len(shares(page.find("edges"))) == 2)
    found = shares(page.find("edges"))
    assert sum(found.values()) == pytest.approx(100, abs=0.2)
    assert all(20 < share < 80 for share in found.values())
    assert page.driver.find_elements(By.CSS_SELECTOR, "#cytoscape canvas")
    page.picture("graph")


def test_a_wrong_text_is_explained_before_it_is_applied(page: Page) -> None:
    page.open("config")
    page.write("yaml", ONLY_V2.replace("subset: v2", "subset: v3"))
    page.until(lambda: "IST0101" in page.find("problems"))
    assert "line" in page.find("problems")


def test_a_change_from_the_page_is_in_force(page: Page) -> None:
    page.open("config")
    page.write("yaml", ONLY_V2)
    page.until(lambda: "finds nothing" in page.find("problems"))
    page.change("apply", "in force after")
    page.picture("configuration")
    page.open("requests")
    page.click("send")
    page.until(lambda: "recommendation v2" in page.find("answer"))
    page.until(lambda: "recommendation-v2" in page.find("explanation"))
    page.picture("request")


def test_a_moved_split_is_seen_in_the_graph(page: Page, console: Console) -> None:
    for _ in range(120):
        console.bed.request("/customer")
    page.open("graph")
    page.until(lambda: shares(page.find("edges")).get("recommendation v2", 0) > 70)


def test_a_fault_and_the_way_back(page: Page, console: Console) -> None:
    page.open("chaos")
    page.change("fault-abort", "in force after")
    statuses = {console.bed.request("/customer").status for _ in range(40)}
    assert statuses == {200, 503}
    page.change("heal", "in force after")
    assert {console.bed.request("/customer").status for _ in range(20)} == {200}


def test_a_killed_pod_is_replaced(page: Page, console: Console) -> None:
    old = {each.name for each in console.bed.pods()}
    page.open("chaos")
    page.change("kill", "took its place")
    assert len({each.name for each in console.bed.pods()} & old) == len(old) - 1


def test_metrics_and_lab_are_there_and_dark_mode_too(page: Page, console: Console) -> None:
    def drawn() -> object:
        console.bed.request("/customer")  # the lines are of the last seconds' traffic
        return page.driver.find_elements(By.CSS_SELECTOR, "#metric-rate .trace")

    page.open("metrics")
    page.until(drawn)
    page.open("lab")
    page.until(lambda: "Tour" in page.find("task"))
    assert "make lab-" in page.find("task")
    page.click("dark")
    page.click("hall")
    body = page.driver.find_element(By.TAG_NAME, "body")
    page.until(lambda: body.get_attribute("class").split() == ["dark", "hall"])
    page.open("metrics")
    page.picture("lecture-hall")


def test_mitmproxys_own_view_of_a_sidecar(page: Page, console: Console) -> None:
    (pod,) = (each for each in console.source.viewable if each.startswith("preference"))
    page.open("requests")
    page.until(lambda: page.driver.find_elements(By.XPATH, f"//button[text()='{pod}']"))
    page.driver.find_element(By.XPATH, f"//button[text()='{pod}']").click()
    page.until(lambda: pod in page.find("flow-view"))
    own = page.driver.current_window_handle
    page.driver.find_element(By.ID, "flows").click()
    (view,) = set(page.driver.window_handles) - {own}
    page.driver.switch_to.window(view)
    try:
        connected = ".connection-indicator.established"
        page.until(lambda: page.driver.find_elements(By.CSS_SELECTOR, connected))
        assert console.bed.request("/customer").status == 200

        def rows() -> list[str]:
            found = page.driver.find_elements(By.CSS_SELECTOR, ".flow-table tbody tr td.col-path")
            return [each.text for each in found]

        page.until(lambda: len(rows()) == 2)  # in and out of the sidecar
        assert any(each.startswith("http://preference:8080/") for each in rows())
        assert any(each.startswith("http://recommendation:8080/") for each in rows())
        page.picture("flow-view")
        assert "token=" not in page.driver.page_source
    finally:
        page.driver.close()
        page.driver.switch_to.window(own)


def test_everything_works_by_keyboard(page: Page) -> None:
    button = page.driver.find_element(By.ID, "to-graph")
    button.send_keys(Keys.ENTER)
    page.until(lambda: page.driver.find_element(By.ID, "section-graph").is_displayed())
    assert button.get_attribute("aria-current") == "page"


def test_no_error_and_no_request_to_elsewhere(page: Page, console: Console) -> None:
    page.until(lambda: shares(page.find("edges")))  # the page has asked, and drawn what it got
    wrong = [
        each
        for each in page.driver.get_log("browser")
        # A container that starts on this machine is a change of its network to Chromium.
        if each["level"] == "SEVERE" and "net::ERR_NETWORK_CHANGED" not in each["message"]
    ]
    assert wrong == []
    asked = []
    for entry in page.driver.get_log("performance"):
        message = json.loads(entry["message"])["message"]
        if message["method"] == "Network.requestWillBeSent":
            asked.append(message["params"]["request"]["url"])
    for path in ("/", "/_dash-component-suites/", "/_dash-layout", "/_dash-update-component"):
        assert any(url.startswith(console.address + path) for url in asked), path
    views = [address.partition("?")[0] for address in console.source.views.addresses()]
    own = (console.address, *views, *(each.replace("http:", "ws:") for each in views))
    own += ("data:", "blob:")
    assert [url for url in asked if not url.startswith(own)] == []
