"""From results to tables: course rules, overrides, CSV that no spreadsheet calculates."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from grader.course.course import Course, CourseLab, read_course
from grader.course.grades import rows, safe, to_csv, write_tables
from grader.course.intake import take_in
from grader.course.overrides import apply_overrides, read_overrides
from grader.course.roster import CourseError, Roster, Student
from grader.course.store import Attempt, Store
from grader.lab import find_lab
from tests.grader.course.hostile import folder


def result(*points: int, verdict: str = "") -> dict[str, Any]:
    checks = [
        {
            "name": f"check-{number}",
            "description": "x",
            "verdict": "pass" if each == 5 else "fail",
            "points": each,
            "max_points": 5,
            "rationale": "as seen",
            "help": "look",
            "evidence": "",
        }
        for number, each in enumerate(points)
    ]
    word = verdict or ("pass" if all(each == 5 for each in points) else "fail")
    return {
        "lab": 1,
        "score": sum(points),
        "max_score": 5 * len(points),
        "verdict": word,
        "seconds": 7.25,
        "checks": checks,
        "reason": "",
    }


def hand_in(store: Store, student: str, found: dict[str, Any] | None, **more: Any) -> Attempt:
    alias = store.alias(student)
    name = f"{len(store.attempts()):064}"[::-1]
    made = store.add(Attempt(store.folder(1, alias, name), 1, [alias], name, **more), {})
    if found is not None:
        made.run.mkdir()
        (made.run / "result.json").write_text(json.dumps(found))
    return made


PEOPLE = [Student("ada", "Ada"), Student("lee", "=cmd|' /C calc'!A0"), Student("gone")]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    made = Store(tmp_path)
    made.enrol(PEOPLE)
    return made


def test_a_row_a_student_in_the_order_of_the_roster(store: Store) -> None:
    hand_in(store, "lee", result(5, 0))
    hand_in(store, "ada", result(5, 5))
    hand_in(store, "ada", result(0, 0))
    course = Course(roster=Roster(PEOPLE), labs={1: CourseLab(points=100)})
    table = rows(store, course)
    assert [(r.student, r.score, r.max_score, r.verdict) for r in table] == [
        ("ada", 100, 100, "pass"),
        ("lee", 50, 100, "fail"),
        ("gone", 0, 100, "missing"),
    ]
    assert table[1].reason == "check-1: as seen"
    write_tables(store, table)
    text = (store.out / "grades.csv").read_text()
    assert text.splitlines() == [
        "student,lab,score,max_score,verdict,seconds",
        "ada,1,100,100,pass,7.2",
        "lee,1,50,100,fail,7.2",
        "gone,1,0,100,missing,0.0",
    ]


def test_lateness_and_extensions_are_the_courses(store: Store) -> None:
    due = datetime(2026, 11, 2, tzinfo=UTC)
    hand_in(store, "ada", result(5, 5), submitted="2026-11-03T12:00:00+00:00")
    hand_in(store, "lee", result(5, 5), submitted="2026-11-03T12:00:00+00:00")
    course = Course(
        policy=read_policy("late: {per_day: 10}", store.out),
        labs={1: CourseLab(due=due)},
        extensions={("lee", 1): datetime(2026, 11, 9, tzinfo=UTC)},
    )
    ada, lee = rows(store, course)
    assert (ada.score, ada.reason) == (8, "2 days late: 2 points off")
    assert lee.score == 10


def read_policy(text: str, folder: Path) -> Any:
    (folder / "c.yaml").write_text(text)
    return read_course(folder / "c.yaml").policy


def test_ungradable_is_no_zero(store: Store) -> None:
    hand_in(store, "ada", result(5, 0, verdict="ungradable"))
    (row,) = rows(store, Course())
    assert row.score is None
    write_tables(store, [row])
    assert (store.out / "grades.csv").read_text().splitlines()[1] == "ada,1,,10,ungradable,7.2"


def test_an_override_comes_last_and_is_shown(store: Store, tmp_path: Path) -> None:
    hand_in(store, "ada", result(5, 0))
    path = tmp_path / "overrides.csv"
    path.write_text(
        "student,lab,check,points,reason,who,date\nada,1,check-1,5,wrong numbers,mk,2026-11-09\n"
        "gone,1,,3,by paper,mk,2026-11-10\n"
    )
    course = Course(roster=Roster(PEOPLE), overrides=path)
    ada, _, gone = rows(store, course)
    assert (ada.score, ada.verdict) == (10, "pass")
    assert ada.reason == "check-1 set to 5 by mk on 2026-11-09: wrong numbers"
    assert "(before: as seen)" in ada.result["checks"][1]["rationale"]  # type: ignore[index]
    assert gone.score == 3
    stored = json.loads((ada.attempt.run / "result.json").read_text())  # type: ignore[union-attr]
    assert stored["score"] == 5


def test_an_override_for_nobody_or_of_more_than_there_is_is_a_slip(
    store: Store, tmp_path: Path
) -> None:
    hand_in(store, "ada", result(5, 0))
    path = tmp_path / "overrides.csv"
    course = Course(overrides=path)
    head = "student,lab,check,points,reason,who,date\n"
    path.write_text(f"{head}eda,1,,5,typing,mk,2026-11-09\n")
    with pytest.raises(CourseError, match=r"overrides\.csv: nobody called 'eda'"):
        rows(store, course)
    path.write_text(f"{head}ada,1,check-1,50,typing,mk,2026-11-09\n")
    with pytest.raises(CourseError, match="check-1 of lab 1 has 5 points, not 50; a bonus"):
        rows(store, course)
    path.write_text(f"{head}ada,1,,50,a bonus,mk,2026-11-09\n")
    assert rows(store, course)[0].score == 50


def test_where_answers_count_everybody_has_the_same_full_points(tmp_path: Path) -> None:
    """Whether something ran, nothing could, or nothing was handed in."""
    lab = find_lab(1)
    folder(tmp_path / "in", {"dan/readme.txt": b""})
    people = Roster([Student("dan"), Student("gone")])
    store, course = Store(tmp_path), Course(roster=people, labs={1: CourseLab(answers=True)})
    take_in(store, course, lab, tmp_path / "in", engine="mitmproxy", runtime="local")
    marks = {row.student: (row.score, row.max_score, row.verdict) for row in rows(store, course)}
    assert marks == {"dan": (0, 16, "fail"), "gone": (0, 16, "missing")}


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("ada,1,check-1,5,,mk,2026-11-09", "o.csv:2: reason is empty"),
        ("ada,one,check-1,5,r,mk,2026-11-09", "o.csv:2: lab and points must be numbers"),
        ("ada,1,check-1,-5,r,mk,2026-11-09", "o.csv:2: the points are -5"),
    ],
)
def test_an_override_that_cannot_stand(line: str, said: str, tmp_path: Path) -> None:
    path = tmp_path / "o.csv"
    path.write_text("student,lab,check,points,reason,who,date\n" + line + "\n")
    with pytest.raises(CourseError, match=said):
        read_overrides(path)


def test_an_override_of_a_check_that_is_not_there(tmp_path: Path) -> None:
    path = tmp_path / "o.csv"
    path.write_text(
        "student,lab,check,points,reason,who,date\nada,1,share-is-wright,5,r,mk,2026-11-09\n"
    )
    with pytest.raises(CourseError, match="no check 'share-is-wright'; it has check-0"):
        apply_overrides(result(5), read_overrides(path))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("era: istio-current", "era is istio-current, which moves; write the number, istio-1"),
        ("era: istio-0.3", "era is 'istio-0.3'"),
        ("later: 3", "no key 'later'"),
        ("keep: worst", "keep is 'worst'; known are best, last"),
        ("late: {per_day: -1}", "late.per_day is -1"),
        ("labs: {1: {due: soon}}", "labs.1.due is 'soon'; write 2026-11-02 23:59"),
        ("timezone: Berlin", "name one like Europe/Berlin"),
        ("extensions: [{student: x, lab: 1}]", "lacks 'until'"),
        ("a: [", "c.yaml:1 is not YAML"),
    ],
)
def test_a_course_with_a_mistake_says_which(text: str, said: str, tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    path.write_text(text)
    with pytest.raises(CourseError) as caught:
        read_course(path)
    assert said in str(caught.value)
    assert str(path) in str(caught.value)


def test_dates_are_of_the_courses_zone(tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    path.write_text(
        "timezone: Europe/Berlin\nlabs: {1: {due: 2026-11-02 23:59}, 2: {due: 2026-11-03}}"
    )
    labs = read_course(path).labs
    assert labs[1].due == datetime(2026, 11, 2, 22, 59, tzinfo=UTC)
    assert labs[2].due == datetime(2026, 11, 3, 23, 0, tzinfo=UTC)


def test_a_cell_is_never_a_formula() -> None:
    assert safe("=1+1") == "'=1+1"
    assert safe("@x") == "'@x"
    assert safe(-3) == -3
    assert to_csv(("a",), [["=HYPERLINK(1)"]]) == "a\n'=HYPERLINK(1)\n"
