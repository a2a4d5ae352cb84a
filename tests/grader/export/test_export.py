"""Exports against golden files, and sheets that come back as they were, but for the marks."""

import base64
import json
import os
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from grader.course.grades import Row
from grader.course.roster import CourseError, Roster, Student
from grader.export.formats import JSON, TEXT, junit, plain, render
from grader.export.sheets import fill_canvas, fill_moodle, read, write

GOLDEN = Path(__file__).parent / "golden"


def check(name: str, verdict: str, points: int, most: int) -> dict[str, Any]:
    return {
        "name": name,
        "description": f"The {name} is right <& well>.",
        "verdict": verdict,
        "points": points,
        "max_points": most,
        "rationale": f"v2 answered some: {verdict}.",
        "help": "" if verdict == "pass" else "Look at the weights.",
        "evidence": "v1 answered 493, v2 answered 175",
    }


RESULT: dict[str, Any] = {
    "lab": 1,
    "score": 6,
    "max_score": 10,
    "verdict": "fail",
    "seconds": 12.345,
    "era": "istio-1.9",
    "seed": "8c07f0ff",
    "digest": "8c07f0ff078d",
    "reason": "",
    "checks": [
        check("subset", "pass", 2, 2),
        check("share", "fail", 0, 4),
        check("secret", "pass", 4, 4),
    ],
    "answers": [],
}
BROKEN = {
    **RESULT,
    "score": 2,
    "verdict": "ungradable",
    "checks": [check("subset", "pass", 2, 2), check("share", "ungradable", 0, 4)],
}
HIDDEN = frozenset({"secret"})


@pytest.mark.parametrize("name", [*JSON, *TEXT])
@pytest.mark.parametrize(("kind", "result"), [("fail", RESULT), ("ungradable", BROKEN)])
def test_each_format_is_its_golden_file(name: str, kind: str, result: dict[str, Any]) -> None:
    found = render(name, result, HIDDEN)
    path = GOLDEN / f"{name}-{kind}.txt"
    if os.environ.get("WRITE_GOLDEN"):
        path.write_text(found)
    assert found == path.read_text()
    assert "secret is right" not in found or name == "gradescope"  # there visibility hides it


def test_junit_is_its_golden_file() -> None:
    found = junit([("ada", RESULT), ("\x1bbob", BROKEN)])
    path = GOLDEN / "junit.xml"
    if os.environ.get("WRITE_GOLDEN"):
        path.write_text(found)
    assert found == path.read_text()
    suites = ElementTree.fromstring(found)
    assert [(s.get("failures"), s.get("errors")) for s in suites] == [("1", "0"), ("0", "1")]


def test_what_github_reads_is_json_in_base64() -> None:
    data = json.loads(base64.b64decode(render("github", RESULT, HIDDEN)))
    assert (data["version"], data["status"], data["max_score"]) == (1, "fail", 10)
    assert sum(each["score"] for each in data["tests"]) == 6


def test_autolabs_last_line_has_the_scores() -> None:
    last = render("autolab", RESULT, HIDDEN).splitlines()[-1]
    assert json.loads(last) == {"scores": {"subset": 2, "share": 0, "secret": 4}}


def test_no_attempt_is_lost_where_nothing_could_be_judged() -> None:
    assert json.loads(render("prairielearn", BROKEN))["gradable"] is False


# Sheets.

CANVAS = """\ufeffStudent,ID,SIS User ID,SIS Login ID,Section,Lab 1 (4711),Lab 10 (4712),Final Score
    Points Possible,,,,,10.00,10.00,(read only)
"Lovelace, Ada",1001,s1,ada,01,,9,90.0
"Müller, Jörg",1002,s2,jm,01,3,,30.0
"Smith, Sam",1005,s3,sam,01,7,,70.0
"Student, Test",999,,x,01,,,
"""
MOODLE = """\
Identifier,Full name,Email address,Status,Grade,Maximum grade,Grade can be changed,Feedback comments
Participant 31,Ada Lovelace,ada@example.edu,Submitted for grading,,20.00,Yes,
Participant 32,Jörg Müller,JM@example.edu,Submitted,12.00,20.00,Yes,old
Participant 33,Sam Smith,sam@example.edu,No submission,,20.00,Yes,
Participant 34,Locked One,lock@example.edu,Submitted,5.00,20.00,No,kept
"""
ROSTER = Roster(
    [
        Student("a1", "Ada Lovelace", "ada@example.edu", canvas="1001"),
        Student("j1", "Jörg Müller", "jm@example.edu", login="jm"),
        Student("s1x", "Sam Smith", "sam@example.edu"),
        Student("l1", "Locked One", "lock@example.edu"),
        Student("gone", "Gone Away"),
    ]
)


def mark(student: str, score: float | None, why: str = "as seen") -> Row:
    return Row(student, 1, score, 10.0, "pass", 1.0, why)


TABLE = [mark("a1", 8.5), mark("j1", None), mark("s1x", 7), mark("l1", 1), mark("gone", 2)]


def test_canvas_is_filled_cell_by_cell() -> None:
    found = fill_canvas(CANVAS, TABLE, ROSTER, "Lab 1")
    assert found.text == CANVAS.replace("ada,01,,9", "ada,01,8.5,9")
    assert found.count == 2
    assert found.absent == ["l1", "gone"]


def test_a_canvas_column_must_be_the_one() -> None:
    with pytest.raises(CourseError, match=r"0 columns 'Lab 2'; there are: Lab 1 \(4711\), Lab 10"):
        fill_canvas(CANVAS, TABLE, ROSTER, "Lab 2")
    with pytest.raises(CourseError, match="not a gradebook that Canvas exported"):
        fill_canvas(MOODLE, TABLE, ROSTER, "Lab 1")


def test_moodle_is_filled_scaled_and_never_wiped() -> None:
    found = fill_moodle(MOODLE, TABLE, ROSTER)
    lines = found.text.splitlines()
    assert lines[1].endswith("Submitted for grading,17,20.00,Yes,as seen")
    assert lines[2] == MOODLE.splitlines()[2]  # not judged: grade and feedback stay
    assert lines[3].endswith("No submission,14,20.00,Yes,as seen")
    assert lines[4] == MOODLE.splitlines()[4]  # may not be changed
    with pytest.raises(CourseError, match="not a grading worksheet"):
        fill_moodle(CANVAS, TABLE, ROSTER)


cells = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\0\r\ufeff"), max_size=12
)


@given(st.lists(st.lists(cells, min_size=2, max_size=2), min_size=1, max_size=8))
def test_a_sheet_comes_back_as_it_was(rows: list[list[str]]) -> None:
    head = ["Student", "ID", "SIS User ID", "SIS Login ID", "Section", "Lab 1 (1)"]
    lines = [head, *([name, ident, "", "", "", "5"] for name, ident in rows)]
    text = write(lines, "\n")
    assert read(text) == lines
    assert read(fill_canvas(text, [], Roster(), "Lab 1").text) == lines


@given(st.lists(cells.filter(str.isalnum), min_size=1, max_size=6, unique=True))
def test_marks_land_in_the_row_of_their_student_whatever_the_names(names: list[str]) -> None:
    roster = Roster([Student(f"id{n}", name, canvas=str(n + 1)) for n, name in enumerate(names)])
    table = [mark(f"id{n}", float(n)) for n in range(len(names))]
    head = ["Student", "ID", "SIS User ID", "SIS Login ID", "Section", "Lab 1 (1)"]
    lines = [head, *([f"{name}, x", str(n + 1), "", "", "", ""] for n, name in enumerate(names))]
    found = read(fill_canvas(write(lines, "\n"), table, roster, "Lab 1").text)
    assert [line[5] for line in found[1:]] == [f"{n}" for n in range(len(names))]


@given(st.text())
def test_xml_holds_every_text(text: str) -> None:
    kept = plain(text.encode("utf-8", "ignore").decode())
    if "\ufffe" not in kept and "\uffff" not in kept:
        case = {**RESULT, "checks": [{**RESULT["checks"][1], "rationale": kept}]}
        ElementTree.fromstring(junit([("x", case)]))
