"""What somebody waits for in a folder is told: a name that appears, a gate somebody waits at."""

import json
import os
import select
import subprocess
import sys
from pathlib import Path

import pytest

from mesh.testbed.child import ChildSpec
from mesh.testbed.compose.appears import Folder
from mesh.testbed.plain import to_plain


def told(folder: Folder) -> bool:
    return bool(select.select([folder], [], [], 0)[0])


def test_what_takes_a_name_or_is_written_is_told_once(tmp_path: Path) -> None:
    with Folder(tmp_path) as folder:
        assert not told(folder)
        (tmp_path / "new").write_text("x")
        assert told(folder)
        folder.forget()
        assert not told(folder)
        (tmp_path / "new").rename(tmp_path / "name")
        assert told(folder)


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="nowhere"):
        Folder(tmp_path / "nowhere")


def test_who_waits_at_a_gate_is_told_and_gets_its_token(tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    spec = ChildSpec("x", "tests.mesh.testbed.compose.shown", "show", "Shown", {"word": "a"}, "")
    entry = [sys.executable, "-m", "mesh.testbed.compose.entry", json.dumps(to_plain(spec))]
    with Folder(tmp_path) as folder:
        with subprocess.Popen(
            [*entry, str(gate), str(tmp_path / "ready")], stdout=subprocess.PIPE, text=True
        ) as process:
            while True:
                folder.forget()
                try:
                    fd = os.open(gate, os.O_WRONLY | os.O_NONBLOCK)
                    break
                except OSError:  # nobody waits there yet
                    select.select([folder], [], [])
            os.write(fd, b"token\n")
            os.close(fd)
            assert process.communicate()[0] == "a\n"
        assert told(folder)
    assert (tmp_path / "ready").read_text() == "1"
