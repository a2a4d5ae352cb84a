"""Students' code where a mesh runs it: the commands, the worker's answers, and what the fence stops."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from grader.fence import worker
from grader.fence.bubblewrap import FenceError
from grader.fence.hand_in import MAX_BYTES, HandIn, has_code, read_code
from grader.lab import find_lab
from mesh.testbed.load_topology import load_topology
from services.handed_in import HandedIn, HandedInError
from tests.grader.fence.fences import both, fence

FORWARD = "def forwarded(headers):\n    return {'x-b3-traceid': headers['x-b3-traceid']}\n"
REQUEST = {
    "hook": "request",
    "id": 1,
    "method": "GET",
    "authority": "recommendation:8080",
    "path": "/a?b=c",
    "headers": [["x-key", "1"]],
}


def test_without_a_fence_only_ones_own_code_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(FenceError, match="Nothing was run"):
        HandIn(fenced=True)
    hand_in = HandIn(fenced=False)
    hand_in.put({"propagation.py": FORWARD})
    code = HandedIn(hand_in.command("forward", "propagation.py"))
    found = code.ask({"headers": {"x-b3-traceid": "7", "cookie": "c"}})
    assert found == {"headers": {"x-b3-traceid": "7"}}
    with pytest.raises(HandedInError, match=r"^propagation\.py:2: KeyError: 'x-b3-traceid'$"):
        code.ask({"headers": {}})
    code.reload()
    hand_in.close()
    assert not hand_in.folder.exists()


def test_what_the_code_prints_is_read_while_it_runs(tmp_path: Path) -> None:
    code = tmp_path / "propagation.py"
    code.write_text("def forwarded(headers):\n    print('asked', headers)\n    return {}\n")
    printed = tmp_path / "printed"
    with (
        printed.open("w") as error,
        subprocess.Popen(
            [sys.executable, worker.__file__, "forward", str(code)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=error,
            text=True,
            env={},  # as behind a fence: no PYTHONUNBUFFERED
        ) as process,
    ):
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stdout.readline() == '{"ready": true}\n'
        process.stdin.write('{"headers": {"a": "b"}}\n')
        process.stdin.flush()
        assert process.stdout.readline() == '{"headers": {}}\n'
        assert printed.read_text() == "asked {'a': 'b'}\n"
        process.stdin.close()
    assert process.returncode == 0


def test_the_topology_gets_commands_in_place_of_names() -> None:
    with HandIn(fenced=False) as hand_in:
        topology = hand_in.into(load_topology(find_lab(13).topology))
        loads = {each.name: each for item in topology.services for each in item.workloads}
        assert loads["recommendation-v1"].filter[-2:] == ("filter", "filter.py") or (
            loads["recommendation-v1"].filter[-1].endswith("filter.py")
        )
        assert loads["preference-v1"].filter == ()


def test_code_is_read_up_to_a_size(tmp_path: Path) -> None:
    lab = find_lab(12)
    assert has_code(lab)
    assert not has_code(find_lab(1))
    (tmp_path / "propagation.py").write_bytes(b"\xff = 1")
    assert read_code(lab, tmp_path) == {"propagation.py": "\ufffd = 1"}
    (tmp_path / "propagation.py").write_bytes(b"#" * (MAX_BYTES + 1))
    assert read_code(lab, tmp_path) == {"propagation.py": ""}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("def forwarded(headers)\n", r"propagation\.py:1: SyntaxError: "),
        ("x = 1\n", r"propagation\.py: AttributeError: .*forwarded"),
        ("def forwarded(headers):\n    return 1\n", "a dict is needed"),
        ("def forwarded(headers):\n    return {'a': 1}\n", "a header is a text with a text"),
        ("def forwarded(headers):\n    return {'a': 'b\\r\\nc: d'}\n", "line break"),
        ("def forwarded(headers):\n    raise SystemExit\n", r"propagation\.py:2: SystemExit"),
        ("import os\ndef forwarded(headers):\n    os._exit(0)\n", "ended without an answer"),
    ],
)
def test_what_is_wrong_with_the_code_is_said(text: str, said: str) -> None:
    with HandIn(fenced=False) as hand_in:
        hand_in.put({"propagation.py": text})
        code = HandedIn(hand_in.command("forward", "propagation.py"))
        with pytest.raises(HandedInError, match=said):
            code.ask({"headers": {}})
        code.reload()


@both
def test_behind_the_fence_there_is_no_network_and_nobodys_file(kind: str) -> None:
    fence(kind)
    text = (
        "import socket\nfrom pathlib import Path\nfrom mitmproxy import http\n"
        "def tried(what):\n    try:\n        what()\n    except OSError as error:\n"
        "        return type(error).__name__\n    return 'done'\n"
        "class A:\n  def request(self, flow):\n"
        "    print('not an answer')\n"
        "    flow.request.headers['net'] = tried(lambda: socket.create_connection(('192.0.2.1', 80), 1))\n"
        f"    flow.request.headers['file'] = tried(lambda: Path({str(Path(__file__))!r}).read_text())\n"
        "    flow.request.headers['own'] = tried(lambda: Path('/hand-in/filter.py').write_text(''))\n"
        "  def response(self, flow):\n"
        "    flow.response.headers['path'] = flow.request.path\n"
        "addons = [A()]\n"
    )
    with HandIn(fenced=True, wanted=kind) as hand_in:
        assert hand_in.name.startswith(kind)
        hand_in.put({"filter.py": text})
        code = HandedIn(hand_in.command("filter", "filter.py"))
        found = code.ask(REQUEST)
        assert found["path"] == "/a?b=c"
        assert found["response"] is None
        said = dict(found["headers"])
        assert said["x-key"] == "1"
        assert "done" not in said.values(), said
        answer = {**REQUEST, "hook": "response", "status": 200, "response_headers": [["a", "b"]]}
        assert code.ask(answer)["response"]["headers"] == [["a", "b"], ["path", "/a?b=c"]]
        code.reload()


def test_a_filter_may_answer_at_once() -> None:
    text = (
        "from mitmproxy import http\nclass A:\n  def request(self, flow):\n"
        "    flow.response = http.Response.make(401, 'no')\naddons = [A()]\n"
    )
    with HandIn(fenced=False) as hand_in:
        hand_in.put({"filter.py": text})
        code = HandedIn(hand_in.command("filter", "filter.py"))
        answer = code.ask(REQUEST)["response"]
        assert (answer["status"], answer["body"]) == (401, "no")
        code.reload()


@pytest.mark.compose
def test_a_fence_that_fails_is_told_from_code_that_does() -> None:
    with HandIn(fenced=True, wanted="container") as hand_in:
        hand_in.put({"filter.py": "import sys\nsys.exit(125)\n"})
        words = hand_in.command("filter", "filter.py")
        code = HandedIn(words)
        with pytest.raises(HandedInError, match=r"filter\.py:2: SystemExit"):
            code.ask(REQUEST)
        hand_in.check()
        hand_in.put({"filter.py": "import os\nos._exit(125)\n"})
        code.reload()
        with pytest.raises(HandedInError, match="ended without an answer"):
            code.ask(REQUEST)
        hand_in.check()
        gone = [re.sub("^mesh-lab-kit:.*", "mesh-lab-kit:kit-gone", word) for word in words]
        with pytest.raises(HandedInError, match="ended without an answer"):
            HandedIn(gone).ask(REQUEST)
        with pytest.raises(FenceError, match="failed while the lab ran"):
            hand_in.check()
