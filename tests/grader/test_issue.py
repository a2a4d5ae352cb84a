"""A course's files: issued, read back, and refused when anybody changed them."""

import base64
import stat
import tomllib
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from grader.issue import issue, read_roster, to_toml
from grader.lab import LabError, find_lab
from grader.parameters import all_sets
from grader.student import message, parameters_for, read_student, trusted_key


@pytest.fixture
def course(tmp_path: Path) -> Path:
    (tmp_path / "roster.csv").write_text(
        "id,name,section\nann1,Ann Lee,A\nbob2,Bob Ångström,B\n", encoding="utf-8"
    )
    return tmp_path


def test_files_are_issued_and_verified(course: Path) -> None:
    done = issue(course)
    assert done.new_secret
    assert [path.parent.name for path in done.files] == ["ann1", "bob2"]
    key = trusted_key(course)
    bob = read_student(done.files[1], trusted=key)
    assert (bob.student, bob.name, bob.course) == ("bob2", "Bob Ångström", course.name)
    assert bob.known_key
    lab = find_lab(1)
    chosen = bob.set_for(lab)
    assert chosen.values in list(all_sets(lab.parameters, lab.draw))
    assert "Bob Ångström (bob2" in chosen.owner


def test_the_secret_stays_with_staff(course: Path) -> None:
    done = issue(course)
    secret = course / "secret.key"
    assert stat.S_IMODE(secret.stat().st_mode) == 0o600
    text = secret.read_text().strip()
    private = Ed25519PrivateKey.from_private_bytes(base64.b64decode(text))
    assert base64.b64encode(private.public_key().public_bytes_raw()).decode() == trusted_key(course)
    for path in (*done.files, course / "course-key.toml"):
        assert text not in path.read_text()


def test_issuing_again_changes_nothing(course: Path) -> None:
    first = {path: path.read_bytes() for path in issue(course).files}
    again = issue(course)
    assert not again.new_secret
    assert {path: path.read_bytes() for path in again.files} == first


@pytest.mark.parametrize(
    ("old", "new"),
    [('student = "ann1"', 'student = "eve"'), ("[labs.lab-01]\n", "[labs.lab-01]\nmore = 1\n")],
)
def test_a_changed_file_is_refused(course: Path, old: str, new: str) -> None:
    path = issue(course).files[0]
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    with pytest.raises(LabError, match="is not as it was issued: the signature does not fit"):
        read_student(path)


def test_a_file_of_another_course_is_refused(course: Path, tmp_path_factory) -> None:  # type: ignore[no-untyped-def]
    other = tmp_path_factory.mktemp("other")
    (other / "roster.csv").write_text("id\nann1\n")
    stranger = issue(other).files[0]
    issue(course)
    with pytest.raises(LabError, match="signed with another key"):
        read_student(stranger, trusted=trusted_key(course))


def test_a_lost_secret_is_not_replaced_in_silence(course: Path) -> None:
    issue(course)
    (course / "secret.key").unlink()
    with pytest.raises(LabError, match=r"secret\.key is missing, but files were issued"):
        issue(course)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "has no student"),
        ("name\nAnn\n", "has no column `id`"),
        ("id,name\n../ann,Ann\n", r"roster.csv:2: '../ann' cannot be an id"),
        ("id,name\nann,Ann\nann,Anna\n", r"roster.csv:3: 'ann' is there twice"),
    ],
)
def test_a_roster_that_cannot_be_used(tmp_path: Path, text: str, says: str) -> None:
    (tmp_path / "roster.csv").write_text(text)
    with pytest.raises(LabError, match=says):
        read_roster(tmp_path / "roster.csv")


def test_the_file_beside_the_work_is_used(course: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lab = find_lab(1)
    monkeypatch.chdir(course)
    assert parameters_for(lab).owner == "the self-study set of parameters"
    path = issue(course).files[0]
    path.rename(course / "student.toml")
    assert parameters_for(lab).student == "ann1"
    (course / "course-key.toml").unlink()
    assert "no course-key.toml here vouches" in parameters_for(lab).owner


@pytest.mark.parametrize("text", ["nonsense", "a = 1\n", 'course = "x"\nlabs = 3\n'])
def test_what_is_no_student_file_is_one_sentence(tmp_path: Path, text: str) -> None:
    path = tmp_path / "student.toml"
    path.write_text(text)
    with pytest.raises(LabError) as problem:
        read_student(path)
    assert "\n" not in str(problem.value).strip()


VALUES = st.one_of(
    st.text(st.characters(codec="utf-8")),
    st.integers(-(2**53), 2**53),
    st.booleans(),
    st.floats(allow_nan=False, allow_infinity=False),
)


@given(st.dictionaries(st.from_regex(r"[a-z]{1,8}", fullmatch=True), VALUES | st.lists(VALUES)))
def test_toml_gives_back_what_was_written(values: dict[str, object]) -> None:
    data = {"name": "x", "labs": {"lab-01": values}}
    again = tomllib.loads(to_toml(data))
    assert again.get("labs", {}).get("lab-01", {}) == values
    assert message(again) == message(data)


def test_a_roster_of_the_course_serves_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "roster.csv"
    path.write_text("student,name,canvas\nann,Ann A,7\n")
    assert read_roster(path) == [("ann", "Ann A")]
