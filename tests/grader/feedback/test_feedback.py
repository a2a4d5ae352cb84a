"""Pages that stand alone, say everything in words too, and let no student's text in as markup."""

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import pytest

from grader.course.course import Course
from grader.course.grades import rows
from grader.course.store import Store
from grader.evidence.sequential import Decision, SequentialTest
from grader.evidence.walk import Walk
from grader.feedback.commands import feedback_of, write_feedback
from grader.feedback.page import Feedback, as_html, as_json
from grader.feedback.svg import distribution, latencies, path, ticks
from grader.load.observation import Observation

TEST = SequentialTest(0.1, (0.2, 0.02))


def walk(hits: int, trials: int) -> Walk:
    """Hits spread evenly over the trials."""
    spread = tuple((n * hits) // trials != ((n + 1) * hits) // trials for n in range(trials))
    return Walk(TEST, spread, "answered by v2")


@pytest.mark.parametrize(
    ("hits", "trials", "decision", "where"),
    [
        (50, 500, Decision.PASS, "inside"),
        (120, 400, Decision.FAIL, "outside"),
        (0, 250, Decision.FAIL, "outside"),
    ],
)
def test_the_plots_of_a_walk_say_what_the_test_decided(
    hits: int, trials: int, decision: Decision, where: str
) -> None:
    found = walk(hits, trials)
    assert found.decision is decision
    ended, counted = found.used
    assert len(list(found.points())) == ended // TEST.batch
    one, two = distribution(found), path(found)
    assert f"{counted} were counted, {where} that range" in one.text
    assert f"After {ended} requests the test decides {decision}" in two.text
    for plot in (one, two):
        svg = ElementTree.fromstring(plot.svg)
        assert svg.get("role") == "img"
        assert [svg[0].text, svg[1].text] == [plot.title, plot.text]
        for number in re.findall(r'(?:x|y|width|height)="([-\d.]+)"', plot.svg):
            assert -5 <= float(number) <= 600


def test_response_times_are_a_picture_and_a_sentence() -> None:
    seen = [Observation(n, 0, f"r-{n}", 200, "", seconds=0.01 + 0.3 * (n % 2)) for n in range(100)]
    plot = latencies("share", seen)
    assert plot is not None
    assert plot.text.startswith(
        "100 answered requests took 10 to 310 ms: half of them up to 310 ms"
    )
    ElementTree.fromstring(plot.svg)
    assert latencies("share", []) is None


def test_ticks_are_round_and_inside() -> None:
    assert ticks(0, 100) == [0, 20, 40, 60, 80, 100]
    assert ticks(0, 0.7) == pytest.approx([0, 0.2, 0.4, 0.6])
    assert ticks(3, 3) == [3]


class Page(HTMLParser):
    """Gathers tags and what could reach outside."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.outside: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.outside += [
            f"{name}={value}"
            for name, value in attrs
            if name in ("src", "href", "action", "xlink:href") or "://" in (value or "")
        ]


def test_every_student_gets_a_page_that_stands_alone(
    store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    assert write_feedback(store.out, None, None) == 0
    assert capsys.readouterr().out.startswith("4 pages in")
    folder = store.out / "feedback" / "lab-01"
    assert {path.name for path in folder.glob("*.html")} == {
        f"{name}.html" for name in ("ada", "bob", "cat", "dan")
    }
    for file in folder.glob("*.html"):
        page = Page()
        page.feed(file.read_text())
        assert page.outside == []
        assert "script" not in page.tags
    bob = (folder / "bob.html").read_text()
    assert bob.count("<svg") >= 3
    assert "outside that range" in bob
    assert "Hint: " in bob
    cat = (folder / "cat.html").read_text()
    assert "<code>destination-rule.yaml:" in cat
    data = json.loads((folder / "bob.json").read_text())
    assert {each["title"] for each in data["plots"]["share-is-right"]} == {
        "The count beside what a right answer brings",
        "The test's path to its boundary",
    }


def test_hidden_checks_are_counted_only(store: Store) -> None:
    course = Course(hidden=frozenset({"share-is-right"}))
    row = next(each for each in rows(store, course) if each.student == "bob")
    found = feedback_of(store, course, row)
    assert "1 more check is hidden." in as_html(found)
    assert "share that the task asks for" not in as_html(found)
    assert "share-is-right" not in as_html(found)
    assert row.reason == "a hidden check was lost"
    data = json.loads(as_json(found))
    assert data["hidden_checks"] == 1
    assert "share-is-right" not in [each["name"] for each in data["checks"]]
    assert "share-is-right" not in data["plots"]


def test_no_text_of_a_student_is_markup(tmp_path: Path) -> None:
    evil = "<script>alert(1)</script>"
    item = {
        "name": "a",
        "description": evil,
        "verdict": "fail",
        "points": 0,
        "max_points": 1,
        "rationale": evil,
        "help": evil,
        "evidence": evil,
    }
    result = {
        "lab": 1,
        "verdict": "fail",
        "checks": [item],
        "engine": evil,
        "era": "x",
        "digest": evil,
        "seed": evil,
        "foreign": evil,
    }
    problem = {
        "file": evil,
        "line": 1,
        "level": "error",
        "code": "X",
        "message": evil,
        "hint": evil,
    }
    page = as_html(
        Feedback(evil, evil, evil, evil, result, [problem], {f"{Path(evil).name}:1": evil})
    )
    assert "<script" not in page
    assert "&lt;script&gt;" in page
