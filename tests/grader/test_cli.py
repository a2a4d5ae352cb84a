"""The command as a student types it, where no mesh is started."""

import subprocess
import sys
from pathlib import Path

import pytest

from grader.lab import LABS
from tests.grader.commands import grade

PROJECT = LABS.parent
STARTER = LABS / "01-canary" / "start"


def test_a_file_that_does_not_parse_starts_nothing_and_keeps_the_result(tmp_path: Path) -> None:
    last = tmp_path / "runs" / "lab-01" / "before"
    last.mkdir(parents=True)
    (last / "result.json").write_text("{}")
    (last.parent / "latest").symlink_to("before")
    grade(tmp_path, "reset", "1")
    broken = tmp_path / "work" / "lab-01" / "virtual-service.yaml"
    broken.write_text("spec:\n  hosts: [recommendation\n")
    done = grade(tmp_path, "lab", "1")
    assert done.returncode == 1
    assert "virtual-service.yaml:" in done.stdout
    assert "The files do not load, so nothing was started; the last result is kept." in done.stdout
    assert "Traceback" not in done.stdout
    assert (last.parent / "latest" / "result.json").read_text() == "{}"


def test_the_first_line_says_whose_parameters_are_in_use(tmp_path: Path) -> None:
    grade(tmp_path, "reset", "1")
    (tmp_path / "work" / "lab-01" / "virtual-service.yaml").write_text("a: [\n")
    first, *_ = grade(tmp_path, "lab", "1").stdout.splitlines()
    assert first == (
        "Lab 1, Canary release: the self-study set of parameters (10 % of the requests to v2)."
    )


def test_loading_imports_nothing_heavy(tmp_path: Path) -> None:
    code = (
        "import sys; from grader.run import run_lab; from pathlib import Path\n"
        "assert run_lab(1, Path(sys.argv[1])) == 1\n"
        "print({'scipy', 'numpy', 'locust', 'gevent', 'mitmproxy', 'flask', 'grpclib'}"
        " & set(sys.modules))"
    )
    (tmp_path / "destination-rule.yaml").write_text("a: [\n")
    (tmp_path / "virtual-service.yaml").write_text("a: [\n")
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)],
        cwd=PROJECT,
        text=True,
        capture_output=True,
        check=True,
    )
    assert done.stdout.splitlines()[-1] == "set()"


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    done = grade(tmp_path, "lab", "1", "--work", str(tmp_path))
    assert done.returncode == 1
    assert "destination-rule.yaml is missing" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("lab", "1", "--engine", "nginx"), "There is no engine 'nginx'"),
        (("lab", "1", "--runtime", "cloud"), "There is no runtime 'cloud'"),
        (("lab", "77"), "There is no lab 77"),
        (("reset", "77"), "There is no lab 77"),
        (("lab", "1", "--work", "nowhere"), "nowhere is not a folder"),
    ],
)
def test_what_cannot_be_done_is_one_sentence(
    tmp_path: Path, arguments: tuple[str, ...], says: str
) -> None:
    done = grade(tmp_path, *arguments)
    assert done.returncode == 2
    assert says in done.stdout
    assert len(done.stdout.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


def test_an_unwritable_folder_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "work").write_text("a file where a folder should be")
    done = grade(tmp_path, "lab", "1")
    assert done.returncode == 2
    assert "work" in done.stdout
    assert len(done.stdout.splitlines()) == 1


def test_reset_says_where_the_old_files_are(tmp_path: Path) -> None:
    grade(tmp_path, "reset", "1")
    done = grade(tmp_path, "reset", "1")
    assert done.returncode == 0
    assert "work/lab-01 is the starter again." in done.stdout
    assert "Your files are in work/lab-01.old-" in done.stdout
