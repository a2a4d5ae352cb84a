"""Where there is no bubblewrap, or no namespaces, nothing is run."""

from pathlib import Path

import pytest

from grader.fence.bubblewrap import Bubblewrap
from grader.fence.limits import FenceError


@pytest.mark.parametrize("missing", ["bwrap", "prlimit", "setpriv"])
def test_without_a_fence_nothing_is_run(
    missing: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in {"bwrap", "prlimit", "setpriv"} - {missing}:
        (tmp_path / name).write_text("#!/bin/sh\nexit 0\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(FenceError, match=f"{missing} is not here .* Nothing was run"):
        Bubblewrap()


def test_a_machine_without_namespaces_is_no_fence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("bwrap", "prlimit", "setpriv"):
        (tmp_path / name).write_text("#!/bin/sh\necho 'No permissions to create' >&2; exit 1\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    with pytest.raises(FenceError, match=r"lets nobody make namespaces \(No permissions"):
        Bubblewrap()
