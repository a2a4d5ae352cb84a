"""Code in a process of its own: asked, reloaded, and never in the way."""

import sys
from pathlib import Path

import pytest

from services import handed_in
from services.handed_in import HandedIn, HandedInError
from services.options import AppOptions
from services.preference import create

ECHO = """\
import json, sys
print(json.dumps({"ready": True}), flush=True)
for line in sys.stdin:
    asked = json.loads(line)
    if asked.get("end"):
        sys.exit(1)
    if asked.get("hang"):
        sys.stdin.read()
    print(json.dumps({"error": "bad"} if asked.get("fail") else {"got": asked, "v": VERSION}), flush=True)
"""


@pytest.fixture
def program(tmp_path: Path) -> Path:
    path = tmp_path / "echo.py"
    path.write_text("VERSION = 1\n" + ECHO)
    return path


def test_it_answers_and_is_loaded_again(program: Path) -> None:
    code = HandedIn([sys.executable, str(program)])
    assert code.ask({"n": 1}) == {"got": {"n": 1}, "v": 1}
    program.write_text("VERSION = 2\n" + ECHO)
    assert code.ask({"n": 2})["v"] == 1
    code.reload()
    assert code.ask({"n": 3})["v"] == 2
    code.reload()


def test_what_goes_wrong_is_one_sentence(
    program: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = HandedIn([sys.executable, str(program)])
    with pytest.raises(HandedInError, match=r"^bad$"):
        code.ask({"fail": True})
    with pytest.raises(HandedInError, match="ended without an answer"):
        code.ask({"end": True})
    assert code.ask({})["v"] == 1, "it starts again after its end"
    monkeypatch.setattr(handed_in, "SECONDS", 0.3)
    with pytest.raises(HandedInError, match=r"no answer in 0\.3 s"):
        code.ask({"hang": True})
    with pytest.raises(HandedInError, match="could not be started"):
        HandedIn([str(tmp_path / "nothing")]).ask({})


def test_preference_passes_on_what_the_code_says(tmp_path: Path) -> None:
    from flask import Flask

    program = tmp_path / "fail.py"
    program.write_text('print(\'{"error": "propagation.py:3: KeyError"}\', flush=True)\n')
    command = [sys.executable, str(program)]
    app = Flask("preference")
    app.register_blueprint(create(AppOptions("preference", "p", "", options={"code": command})))
    answer = app.test_client().get("/")
    assert (answer.status_code, answer.text) == (500, "preference: propagation.py:3: KeyError\n")
    assert app.test_client().get("/reload").status_code == 200
    # The process that this began is asked, and ends.
    assert app.test_client().get("/").status_code == 500


def test_an_answer_without_an_end_is_refused_before_it_fills_the_memory() -> None:
    endless = "import os\nos.write(1, b'{}\\n')\nwhile True: os.write(1, b'x' * 65536)\n"
    code = HandedIn([sys.executable, "-c", endless])
    with pytest.raises(HandedInError, match="more than 1048576 bytes"):
        code.ask({})


@pytest.mark.parametrize(("greeting", "starts"), [("print('{}', flush=True)", 2), ("", 1)])
def test_code_that_ends_is_not_started_for_ever(greeting: str, starts: int, tmp_path: Path) -> None:
    note = tmp_path / "started"
    code = HandedIn([sys.executable, "-c", f"open({str(note)!r}, 'a').write('x')\n{greeting}"])
    for _ in range(5):
        with pytest.raises(HandedInError, match="ended without an answer"):
            code.ask({})
    assert note.read_text() == "x" * starts
    code.reload()
    code.begin()
    with pytest.raises(HandedInError, match="ended without an answer"):
        code.ask({})
    assert note.read_text() == "x" * (starts + 1)
