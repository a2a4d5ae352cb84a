"""The bootstrap on copies of its part of the kit: with no packages to install it needs no network."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ENVIRONMENT = {"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/"), "LC_ALL": "C.UTF-8"}
BASICS = "sh dirname cmp ln mkdir rm cat uname ps sleep printf"


@pytest.fixture
def kit(tmp_path: Path) -> Iterator[Path]:
    """A kit in a path with spaces, whose groups are empty."""
    folder = tmp_path / "a kit of mine"
    (folder / "requirements").mkdir(parents=True)
    shutil.copytree(ROOT / "scripts", folder / "scripts")
    for package in ("mesh", "grader"):
        (folder / package).mkdir()
        (folder / package / "__init__.py").write_text("")
        (folder / package / "cli.py").write_text(
            f"import sys\n\ndef main():\n    print('{package}', sys.argv)\n    return 3\n"
        )
    for group in ("core", "dev"):
        (folder / "requirements" / f"{group}.txt").write_text(f"# nothing in {group}\n")
    yield folder


def bootstrap(kit: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["sh", "scripts/bootstrap.sh", *arguments],
        cwd=kit,
        env={**ENVIRONMENT, "PYTHON": sys.executable, **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_first_run_installs_and_the_second_says_nothing(kit: Path) -> None:
    first = bootstrap(kit, "core", "dev")
    assert first.returncode == 0, first.stderr
    assert first.stdout == ""
    assert "Making .venv with Python" in first.stderr
    assert "✓ Installed core" in first.stderr
    assert not list(kit.glob(".venv.lock*"))
    second = bootstrap(kit, "core", "dev")
    assert (second.returncode, second.stdout, second.stderr) == (0, "", "")

    # A group whose pins changed is installed again, and only that one.
    (kit / "requirements" / "dev.txt").write_text("# changed\n")
    third = bootstrap(kit, "core", "dev")
    assert "Installed dev" in third.stderr
    assert "core" not in third.stderr

    # A group whose installation was interrupted is not valid.
    stamps = kit / ".venv" / ".stamps"
    (stamps / "core.txt").rename(stamps / "core.installing")
    assert "Installed core" in bootstrap(kit, "core", "dev").stderr
    assert sorted(path.name for path in stamps.iterdir()) == ["core.txt", "dev.txt"]

    # The commands work from anywhere, keep their exit code, and move with the folder.
    moved = kit.with_name("moved")
    kit.rename(moved)
    done = subprocess.run(
        [moved / ".venv/bin/grade", "lab", "1"],
        cwd="/",
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 3
    assert done.stdout == "grader ['grade', 'lab', '1']\n"

    # One that was cut short is made again.
    (moved / ".venv" / ".incomplete").touch()
    again = bootstrap(moved, "core")
    assert again.returncode == 0
    assert "Making .venv" in again.stderr


@pytest.fixture
def begin(kit: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Begin a set-up; none outlives the test, however it ends."""
    begun: list[subprocess.Popen[str]] = []

    def begin(**environment: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            ["sh", "scripts/bootstrap.sh", "core"],
            cwd=kit,
            env={**ENVIRONMENT, "PYTHON": sys.executable, **environment},
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        begun.append(process)
        return process

    yield begin
    for process in begun:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        assert process.stderr is not None
        process.stderr.close()


def dead() -> int:
    """The number of a process that has ended."""
    process = subprocess.Popen(["true"])
    process.wait()
    return process.pid


def stopping_at(program: str, folder: Path) -> str:
    """A PATH whose ``program`` does its work, then writes ``at`` and reads ``go`` of ``folder``."""
    folder.mkdir()
    for name in ("at", "go"):
        os.mkfifo(folder / name)
    real = shutil.which(program)
    (folder / program).write_text(
        "#!/bin/sh\n"
        f'"{real}" "$@" || exit 1\n'
        f'[ -e "{folder}/done" ] && exit 0\n'
        f': >"{folder}/done"; echo >"{folder}/at"; read -r _ <"{folder}/go"\n'
    )
    (folder / program).chmod(0o755)
    return f"{folder}:{ENVIRONMENT['PATH']}"


@pytest.mark.parametrize("cut_short", [False, True], ids=["dead owner", "dead remover, too"])
def test_two_at_once_past_the_lock_of_a_dead_one(
    kit: Path, begin: Callable[..., subprocess.Popen[str]], cut_short: bool
) -> None:
    owner = dead()
    (kit / ".venv.locked").symlink_to(f"pid-{owner}")
    if cut_short:
        (kit / f".venv.locked.{owner}").symlink_to(f"pid-{dead()}")
    both = [begin() for _ in range(2)]
    said = [each.communicate()[1] for each in both]
    assert [each.returncode for each in both] == [0, 0], said
    assert "".join(said).count("Installed core") == 1
    assert not list(kit.glob(".venv.lock*"))


def test_who_saw_a_dead_lock_does_not_remove_the_one_that_came_after(
    kit: Path, begin: Callable[..., subprocess.Popen[str]], tmp_path: Path
) -> None:
    (kit / ".venv.locked").symlink_to(f"pid-{dead()}")
    reading, installing = tmp_path / "reading", tmp_path / "installing"
    late = begin(PATH=stopping_at("readlink", reading))
    (reading / "at").read_text()  # it knows whose the lock was, and nothing later
    first = begin(PATH=stopping_at("cp", installing))
    (installing / "at").read_text()  # it has the lock, and works
    (reading / "go").write_text("\n")
    assert late.stderr is not None
    assert f"Waiting for another set-up (process {first.pid})" in late.stderr.readline()
    assert (kit / ".venv.locked").readlink() == Path(f"pid-{first.pid}")
    (installing / "go").write_text("\n")
    assert "Installed core" in first.communicate()[1]
    assert "Installed" not in late.communicate()[1]
    assert (first.returncode, late.returncode) == (0, 0)
    assert not list(kit.glob(".venv.lock*"))


def test_a_group_that_does_not_exist(kit: Path) -> None:
    done = bootstrap(kit, "nothing")
    assert done.returncode == 2
    assert "no group of requirements 'nothing'" in done.stderr


def test_no_python(kit: Path, tmp_path: Path) -> None:
    """Nothing but old tools on PATH: one sentence, exit code 2, nothing left behind."""
    tools = tmp_path / "tools"
    tools.mkdir()
    for name in BASICS.split():
        found = shutil.which(name)
        if found:
            (tools / name).symlink_to(found)
    old = tools / "python3"
    old.write_text("#!/bin/sh\nexit 1\n")
    old.chmod(0o755)
    empty = str(tmp_path / "home")
    done = bootstrap(kit, "core", PATH=str(tools), HOME=empty, PYTHON="", PYENV_ROOT=empty)
    if done.returncode == 0:
        pytest.skip("this machine has a Python >= 3.12 in a fixed place")
    assert done.returncode == 2
    assert "No Python 3.12 or newer was found" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert not list(kit.glob(".venv*"))


def test_without_ensurepip(kit: Path, tmp_path: Path) -> None:
    """Debian splits venv off: virtualenv does its work, without either one sentence says so."""
    tools = tmp_path / "tools"
    tools.mkdir()
    broken = tools / "python3"
    broken.write_text(
        "#!/bin/sh\n"
        'case "$1 $2" in "-m venv" | "-m virtualenv" | "-m pip") exit 1 ;; esac\n'
        f'exec "{sys.executable}" "$@"\n'
    )
    for name in ("virtualenv", "uv"):
        (tools / name).write_text("#!/bin/sh\nexit 1\n")
    for path in tools.iterdir():
        path.chmod(0o755)
    path = f"{tools}:{ENVIRONMENT['PATH']}"
    done = bootstrap(kit, "core", PYTHON=str(broken), PATH=path)
    assert done.returncode == 2
    assert "install its venv module" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 2

    (tools / "virtualenv").write_text(
        f'#!/bin/sh\nshift 4\nexec "{sys.executable}" -m venv --clear "$1"\n'
    )
    assert bootstrap(kit, "core", PYTHON=str(broken), PATH=path).returncode == 0


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_an_unwritable_folder(kit: Path) -> None:
    kit.chmod(0o500)
    try:
        done = bootstrap(kit, "core")
    finally:
        kit.chmod(0o700)
    assert done.returncode == 2
    assert "cannot be written" in done.stderr


def test_a_folder_in_the_way_of_writing(kit: Path) -> None:
    """What root can run, too: the lock cannot be made because its place is taken by a file."""
    (kit / ".venv.locked").write_text("")
    done = bootstrap(kit, "core")
    assert done.returncode == 2
    assert "cannot be written" in done.stderr
