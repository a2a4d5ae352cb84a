"""Which fence: what is asked for or nothing; by itself the best that there is."""

from pathlib import Path

import pytest

from grader.fence.choose import BUBBLEWRAP, CONTAINER, choose
from grader.fence.limits import FenceError

INFO = '{"ServerVersion": "20.10", "MemoryLimit": %s, "PidsLimit": true}'


def docker(folder: Path, script: str) -> None:
    (folder / "docker").write_text(f"#!/bin/sh\n{script}\n")
    (folder / "docker").chmod(0o755)


def bubblewrap(folder: Path) -> None:
    for name in ("bwrap", "prlimit", "setpriv"):
        (folder / name).write_text("#!/bin/sh\nexit 0\n")
        (folder / name).chmod(0o755)


@pytest.mark.parametrize(
    ("script", "why"),
    [
        ("", "Docker is not here"),
        ("echo 'Cannot connect' >&2; exit 1", "Docker does not answer"),
        (f"echo '{INFO % 'false'}'", "cannot limit memory"),
    ],
)
def test_without_docker_bubblewrap_is_taken_unless_a_container_was_wanted(
    script: str, why: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bubblewrap(tmp_path)
    if script:
        docker(tmp_path, script)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert choose().name == BUBBLEWRAP
    assert choose(BUBBLEWRAP).name == BUBBLEWRAP
    with pytest.raises(FenceError, match=f"{why}.* Nothing was run"):
        choose(CONTAINER)


def test_with_neither_nothing_is_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(FenceError, match="Nothing was run"):
        choose()


@pytest.mark.compose
def test_a_container_is_taken_where_its_image_is_built() -> None:
    wanted = choose(CONTAINER)
    assert choose().name == wanted.name
    assert wanted.name.startswith("container mesh-lab-kit:kit-")
