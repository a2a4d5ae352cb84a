"""Bulk downloads as the platforms make them, and whose each submission is."""

from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from grader.course.downloads import read_download, read_metadata
from grader.course.roster import CourseError, Hints, Roster, Student, name_key, read_roster
from tests.grader.course.hostile import folder, tarred, zipped

A, B = "destination-rule.yaml", "virtual-service.yaml"
FILES = {A: b"a: 1\n", B: b"b: 2\n"}

ROSTER = Roster(
    [
        Student("ada1", "Ada Lovelace", "ada@example.edu", canvas="1001", moodle="31"),
        Student("lee", "Lee, Ann-Marie", "ann@example.edu", sid="S-7"),
        Student("muel", "Jörg Müller", "jm@example.edu", group="Team 3"),
        Student("sam1", "Sam Smith"),
        Student("sam2", "Sam Smith", canvas="1005"),
    ]
)

METADATA = """\
submission_7:
  :submitters:
  - :name: Ada Lovelace
    :sid: ''
    :email: ADA@example.edu
  - :name: Ann Lee
    :sid: S-7
    :email:
  :created_at: 2026-11-02 23:59:30.000000000 Z
  :score: 3.0
  :status: processed
submission_8:
  :submitters:
  - :name: Somebody Else
    :sid: nobody
    :email: x@example.edu
  :created_at: !ruby/object:ActiveSupport::TimeWithZone
    utc: 2026-11-03 08:00:00.000000000 Z
    zone: !ruby/object:ActiveSupport::TimeZone
      name: America/New_York
"""


def canvas() -> dict[str, bytes]:
    return {
        f"lovelaceada_1001_555_{A}": FILES[A],
        f"lovelaceada_1001_556_{B}": FILES[B],
        "leeannmarie_LATE_1002_557_homework.zip": zipped(FILES),
        "mullerjorg_1003_558_hw-1.tar.gz": tarred(FILES),
        f"smithsam_1005_559_{A}": b"",
        f"smithsam_1006_560_{A}": b"",
    }


@pytest.mark.parametrize("packed", [True, False])
def test_canvas(packed: bool, tmp_path: Path) -> None:
    path = tmp_path / "submissions.zip"
    if packed:
        path.write_bytes(zipped(canvas()))
    else:
        path = folder(tmp_path / "submissions", canvas())
    platform, found = read_download(path)
    assert platform == "canvas"
    held = {(hand.who[0].name, hand.who[0].canvas): hand for hand in found}
    assert set(held) == {
        ("lovelaceada", "1001"),
        ("leeannmarie", "1002"),
        ("mullerjorg", "1003"),
        ("smithsam", "1005"),
        ("smithsam", "1006"),
    }
    assert [e.path for e in held["lovelaceada", "1001"].tree.entries] == [A, B]
    assert [hand.late for hand in held.values()] == [True, False, False, False, False]
    students = [ROSTER.match(hand.who[0]) for hand in held.values()]
    # the second Smith is known by number, the third fits two by name: nobody
    assert [each and each.student for each in students] == ["lee", "ada1", "muel", "sam2", None]


@pytest.mark.parametrize("wrapper", ["", "Course-Lab 1-4711/"])
def test_moodle(wrapper: str, tmp_path: Path) -> None:
    names = {
        f"{wrapper}Ada Lovelace_31_assignsubmission_file_/{A}": FILES[A],
        f"{wrapper}Ada Lovelace_31_assignsubmission_file_/sub/{B}": FILES[B],
        f"{wrapper}Team 3-Jörg Müller_32_assignsubmission_file_/hw.zip": zipped(FILES),
        f"{wrapper}Sam Smith_33_assignsubmission_onlinetext_/onlinetext.html": b"<p>done</p>",
    }
    path = tmp_path / "moodle.zip"
    path.write_bytes(zipped(names))
    platform, found = read_download(path)
    assert platform == "moodle"
    assert [hand.who[0].name for hand in found] == [
        "Ada Lovelace",
        "Sam Smith",
        "Team 3-Jörg Müller",
    ]
    assert [e.path for e in found[0].tree.entries] == [A, f"sub/{B}"]
    assert found[1].tree.entries == []
    assert [s and s.student for s in (ROSTER.match(h.who[0]) for h in found)] == [
        "ada1",
        None,
        "muel",
    ]


def test_moodle_without_folders(tmp_path: Path) -> None:
    root = folder(tmp_path / "m", {"Ada Lovelace_31_assignsubmission_file_hw.zip": zipped(FILES)})
    platform, found = read_download(root)
    assert platform == "moodle"
    assert [e.path for e in found[0].tree.entries] == ["hw.zip"]


@pytest.mark.parametrize("packed", [True, False])
def test_gradescope(packed: bool, tmp_path: Path) -> None:
    names = {
        "assignment_1_export/submission_metadata.yml": METADATA.encode(),
        f"assignment_1_export/submission_7/{A}": FILES[A],
        f"assignment_1_export/submission_7/nested/{B}": FILES[B],
        f"assignment_1_export/submission_8/{A}": FILES[A],
        f"__MACOSX/assignment_1_export/submission_8/._{A}": b"",
    }
    path = tmp_path / "export.zip"
    if packed:
        path.write_bytes(zipped(names))
    else:
        path = folder(tmp_path / "export", names) / "assignment_1_export"
    platform, (first, second) = read_download(path)
    assert platform == "gradescope"
    assert [ROSTER.match(each).student for each in first.who] == ["ada1", "lee"]  # type: ignore[union-attr]
    assert first.submitted == datetime(2026, 11, 2, 23, 59, 30, tzinfo=UTC)
    assert [e.path for e in first.tree.entries] == [A, f"nested/{B}"]
    assert second.submitted == datetime(2026, 11, 3, 8, tzinfo=UTC)
    assert ROSTER.match(second.who[0]) is None
    assert second.who[0].label == "nobody"


def test_metadata_that_is_not_gradescopes_is_one_sentence() -> None:
    for data in (b"[", b"- a", b"!!python/object/apply:os.system [true]\n"):
        with pytest.raises(CourseError):
            read_metadata(data, "m.yml")


def test_plain_folders_and_archives_are_named_by_the_student(tmp_path: Path) -> None:
    root = folder(
        tmp_path / "in", {f"ada1/{A}": b"", "lee.tar.gz": tarred(FILES), "x.7z": b"7z\xbc\xaf"}
    )
    platform, found = read_download(root)
    assert platform == "plain"
    assert [hand.who[0].label for hand in found] == ["ada1", "lee", "x"]
    assert found[2].refused.startswith("a 7-Zip archive")


def test_identity_never_comes_from_inside(tmp_path: Path) -> None:
    inside = {"student.toml": b'student = "ada1"', "submission_metadata.yml": METADATA.encode()}
    root = folder(tmp_path / "in", {f"lee/deeper/{name}": data for name, data in inside.items()})
    platform, found = read_download(root)
    assert platform == "plain"
    assert [ROSTER.match(hand.who[0]).student for hand in found] == ["lee"]  # type: ignore[union-attr]


def test_what_is_no_download(tmp_path: Path) -> None:
    (tmp_path / "x.pdf").write_bytes(b"%PDF")
    for name in ("x.pdf", "nowhere"):
        with pytest.raises(CourseError, match=name):
            read_download(tmp_path / name)


@given(
    st.text(st.characters(categories=["L"]), min_size=1),
    st.text(st.characters(categories=["L"]), min_size=1),
)
def test_a_name_is_found_as_canvas_squeezes_it(first: str, last: str) -> None:
    roster = Roster([Student("s", f"{first} {last}")])
    if name_key(first) and name_key(last):
        assert roster.match(Hints(name=name_key(last) + name_key(first))) is roster.students[0]


def test_a_roster_with_a_mistake_names_its_line(tmp_path: Path) -> None:
    path = tmp_path / "roster.csv"
    path.write_text("id,name\nada,Ada\nlee,Lee\n")
    assert [s.student for s in read_roster(path).students] == ["ada", "lee"]
    path.write_text("student,name\nada,Ada\nada,Adah\n")
    with pytest.raises(CourseError, match=r"roster.csv:3: ada stands in line 2 already"):
        read_roster(path)
    path.write_text("student,grade\nada,1\n")
    with pytest.raises(CourseError, match="no column 'grade'"):
        read_roster(path)
    path.write_text("student\n\xa0\n", encoding="latin-1")
    with pytest.raises(CourseError, match="not UTF-8"):
        read_roster(path)
