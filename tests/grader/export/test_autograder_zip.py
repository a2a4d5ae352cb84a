"""Gradescope's zip: what judging needs, and nothing that only the staff may have."""

import json
import zipfile
from pathlib import Path

import pytest

from grader.course.roster import CourseError
from grader.export.autograder_zip import LAB, NUMBERS, kit_files, numbers, write_zip
from grader.handout import STAFF_FILES, STAFF_FOLDERS
from grader.issue import issue
from grader.lab import LABS, LabDefinition, LabError, all_labs, find_lab
from grader.mutants import load_mutants
from grader.student import parameters_for
from tests.grader.course.hostile import solved

KIT = LABS.parent
JUDGES = {"answers.py", "staff.py"}
"""What a handout has not and a judge cannot do without."""


@pytest.fixture
def staff(tmp_path: Path) -> Path:
    folder = tmp_path / "staff"
    folder.mkdir()
    (folder / "roster.csv").write_text(
        "id,name,email,sid\nann1,Ann Lee,ann@example.edu,4711\nbob,Bob Ray,,\n"
    )
    issue(folder)
    return folder


def packed(lab: LabDefinition, folder: Path, issued: Path | None = None) -> zipfile.ZipFile:
    write_zip(KIT, lab, folder / "a.zip", issued)
    return zipfile.ZipFile(folder / "a.zip")


def test_it_has_its_two_scripts_at_the_root_and_one_lab(tmp_path: Path) -> None:
    lab = find_lab(1)
    with packed(lab, tmp_path) as archive:
        names = archive.namelist()
        assert names[:2] == ["setup.sh", "run_autograder"]
        assert archive.getinfo("run_autograder").external_attr >> 16 & 0o111
        labs = {name.split("/")[2] for name in names if name.startswith("kit/labs/")}
        assert labs == {lab.folder.name}
        tops = {name.split("/")[1] for name in names if name.startswith("kit/")}
        assert tops == {
            *("LICENSE", "NOTICE", "grader", "labs", "mesh", "requirements", "scripts", "services")
        }
        assert "kit/scripts/bootstrap.sh" in names


@pytest.mark.parametrize("lab", all_labs(), ids=lambda lab: str(lab.number))
def test_no_lab_brings_its_solution_or_its_mutants(lab: LabDefinition) -> None:
    files = [path.relative_to(lab.folder) for path in kit_files(KIT, lab) if LABS in path.parents]
    assert {"lab.yaml", "checks.py", "answers.py", "diagnosis.yaml"} <= {str(f) for f in files}
    assert not [f for f in files if f.name in STAFF_FILES - JUDGES or STAFF_FOLDERS & {*f.parts}]
    texts = [(lab.folder / file).read_text() for file in files if file.name != "diagnosis.yaml"]
    assert not [text for text in texts for answer in solved(lab) if answer in text]
    for mutant in load_mutants(lab):
        assert not [text for text in texts if f"name: {mutant.name}\n" in text]


def test_a_file_that_an_author_adds_stays_out_until_it_is_listed(tmp_path: Path) -> None:
    lab = find_lab(1)
    with packed(lab, tmp_path) as archive:
        inside = {
            name.split("/")[3]
            for name in archive.namelist()
            if name.startswith(f"kit/labs/{lab.folder.name}/")
        }
    listed = {path.name for name in LAB for path in lab.folder.glob(name)}
    assert {"checks.py", "answers.py", "locustfile.py"} <= inside == listed


def test_no_key_no_name_and_no_other_labs_numbers(tmp_path: Path, staff: Path) -> None:
    secret = (staff / "secret.key").read_text().strip()
    (staff / "notes.toml").write_text('exam = "the answers"\n')
    with packed(find_lab(1), tmp_path, staff) as archive:
        texts = {name: archive.read(name).decode(errors="replace") for name in archive.namelist()}
    for stranger in (secret, "Ann Lee", "Bob Ray", "the answers", "signature ="):
        assert not [n for n, text in texts.items() if stranger in text and n.endswith(".toml")]
        assert stranger not in texts[NUMBERS]
    assert not [name for name in texts if name.endswith((".toml", ".key", ".pem", ".csv"))]
    assert set(json.loads(texts[NUMBERS])["ann1"]) == {"values", "seed"}


def test_a_student_is_found_by_every_word_of_the_roster(staff: Path) -> None:
    lab = find_lab(1)
    found = numbers(lab, staff)
    assert set(found) == {"ann1", "ann@example.edu", "4711", "bob"}
    ann = parameters_for(lab, staff / "students" / "ann1" / "student.toml")
    assert found["ann@example.edu"] == {"values": ann.values, "seed": ann.seed}


def test_what_does_not_fit_is_said_when_the_zip_is_made(tmp_path: Path, staff: Path) -> None:
    lab = find_lab(1)
    with (staff / "roster.csv").open("a") as roster:
        roster.write("cem,Cem,,BOB\n")
    with pytest.raises(CourseError, match="'bob' means bob and cem"):
        numbers(lab, staff)
    (staff / "roster.csv").write_text("id,name\ndia,Dia\n")
    with pytest.raises(LabError, match=r"dia/student\.toml is not there: `grade issue"):
        numbers(lab, staff)
    file = staff / "students" / "bob" / "student.toml"
    file.write_text(file.read_text().replace("Bob Ray", "Bob Roy"))
    (staff / "roster.csv").write_text("id,name\nbob,Bob Ray\n")
    with pytest.raises(LabError, match="is not as it was issued"):
        numbers(lab, staff)
    with pytest.raises(LabError, match="Lab 12 takes code"):
        write_zip(KIT, find_lab(12), tmp_path / "x.zip", None)
