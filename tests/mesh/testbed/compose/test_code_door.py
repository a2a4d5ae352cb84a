"""Handed-in code behind its door, with real processes, without a container."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from grader.fence import worker
from mesh.testbed.compose import code_caller, code_door
from services.handed_in import HandedIn, HandedInError

CODE = "def forwarded(headers):\n    return {{'x-seen': {word!r}}}\n"
STUCK = "def forwarded(headers):\n    while True:\n        pass\n"


class Door:
    """A door with its code, and a caller."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "propagation.py"
        self.file.write_text(CODE.format(word="one"))
        place = folder / "door"
        run = [sys.executable, str(worker.__file__), "forward", str(self.file)]
        command = [sys.executable, str(code_door.__file__), str(place), *run]
        self.process = subprocess.Popen(command)
        self.caller = HandedIn([sys.executable, str(code_caller.__file__), str(place)])


@pytest.fixture
def door() -> Iterator[Door]:
    with tempfile.TemporaryDirectory() as name:
        made = Door(Path(name))
        yield made
        made.caller.reload()
        made.process.kill()
        made.process.wait()


def ask(door: Door) -> object:
    return door.caller.ask({"headers": {}})["headers"]


def test_the_code_answers_and_is_loaded_anew_after_a_reload(door: Door) -> None:
    assert ask(door) == {"x-seen": "one"}
    door.file.write_text(CODE.format(word="another"))
    assert ask(door) == {"x-seen": "one"}
    door.caller.reload()
    assert ask(door) == {"x-seen": "another"}


def test_an_error_of_the_code_is_told_with_its_line(door: Door) -> None:
    door.file.write_text("def forwarded(headers):\n    return headers['host']\n")
    with pytest.raises(HandedInError, match=r"propagation.py:2: KeyError: 'host'"):
        ask(door)


def test_code_that_hangs_ends_with_its_caller(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.handed_in.SECONDS", 2.0)
    door.file.write_text(STUCK)
    with pytest.raises(HandedInError, match="no answer"):
        ask(door)
    monkeypatch.undo()
    door.file.write_text(CODE.format(word="again"))
    assert ask(door) == {"x-seen": "again"}
    (running,) = psutil.Process(door.process.pid).children()
    assert running.pid != os.getpid()
