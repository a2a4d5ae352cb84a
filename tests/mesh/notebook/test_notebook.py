"""The notebooks as they are stored, what they are written with, and some of them run.

``-m nightly`` runs all of them on both engines.
"""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("plotly")
pytest.importorskip("mistune")
pytest.importorskip("nbclient")

from mesh.notebook import book as books
from mesh.notebook.slides import slides
from mesh.notebook.traffic import Question, Seen, batches, counted, median, told
from mesh.testbed.base import Answer
from mesh.testbed.client import NoAnswerError
from mesh.testbed.load_topology import load_topology
from mesh.testbed.local import LocalTestbed

KIT = Path(__file__).parents[3]
STORED = books.books()
PLOTLY = "application/vnd.plotly.v1+json"


def stored(path: Path) -> dict[str, Any]:
    return dict(json.loads(path.read_text(encoding="utf-8")))


def code(text: str, *outputs: dict[str, Any], expect: list[str] | None = None) -> dict[str, Any]:
    metadata = {"expect": expect} if expect else {}
    return {"cell_type": "code", "source": text, "metadata": metadata, "outputs": list(outputs)}


def printed(text: str) -> dict[str, Any]:
    return {"output_type": "stream", "name": "stdout", "text": text}


def test_there_is_one_for_each_act() -> None:
    assert [path.name[0] for path in STORED] == list("1234567")


@pytest.mark.parametrize("path", STORED, ids=lambda path: path.stem)
def test_it_is_stored_without_outputs_and_has_slides(path: Path) -> None:
    book = stored(path)
    assert books.bare(book)
    kinds = [cell["metadata"]["slideshow"]["slide_type"] for cell in book["cells"]]
    assert kinds[0] == "slide"
    assert kinds.count("slide") >= 6
    lengths = [len(cell["source"]) for cell in book["cells"] if cell["cell_type"] == "code"]
    assert max(lengths) <= 40, "a cell that does not fit on a slide"
    assert sum("expect" in cell["metadata"] for cell in book["cells"]) >= 0.7 * len(lengths)


def test_a_stored_output_is_noticed() -> None:
    assert not books.bare({"cells": [code("1", printed("1"))]})


def test_what_a_cell_promises_is_compared() -> None:
    kept = code("", printed("200 requests: v1 178"), expect=["v1 1[78]."])
    broken = code("", printed("v2 22"), expect=["v1"])
    unpromised = code("", printed("something"))
    found = books.faults({"cells": [kept, broken, unpromised, code("x = 1")]})
    assert [each.cell for each in found] == [1, 2]
    assert "'v1' is not in 'v2 22" in str(found[0])
    assert "it promises nothing" in str(found[1])


def test_slides_fetch_nothing() -> None:
    figure = {"data": [{"y": ["</script>"]}], "layout": {}}
    shown = {"output_type": "display_data", "data": {PLOTLY: figure, "text/plain": 'v1 "9"'}}
    skipped = {"slideshow": {"slide_type": "skip"}}
    cells = [
        {"cell_type": "markdown", "source": "# Act\n\n|a|b|\n|-|-|\n|1|2|", "metadata": {}},
        code("print('<b>')", printed("<b>"), shown),
        {"cell_type": "markdown", "source": "left out", "metadata": skipped},
    ]
    page = slides({"cells": cells}, "Act & more")
    body = page[page.index("<body>") :]
    assert "<h1>Act</h1>" in body
    assert "<td>1</td>" in body
    assert "left out" not in body
    assert '<pre class="output">&lt;b&gt;</pre>' in body
    assert "\\u003c/script>" in body
    assert 'aria-label="v1 &quot;9&quot;"' in body
    assert "default-src &#x27;none&#x27;" in page
    assert not any(word in body for word in ("src=", "href=", "@import"))


class Turns:
    """v1 and v2 by turns; each fifth request is broken off."""

    def __init__(self) -> None:
        self.ids: list[str] = []

    def request(
        self,
        path: str,
        *,
        from_pod: str | None = None,
        headers: Mapping[str, str] | None = None,
        method: str = "GET",
        body: bytes = b"",
    ) -> Answer:
        self.ids.append((headers or {})["x-request-id"])
        number = int(self.ids[-1].rpartition("-")[2])
        if number % 5 == 0:
            raise NoAnswerError("broken off")
        version = "v2" if number % 2 else "v1"
        return Answer(200, (), f"customer => recommendation {version} from 'x': 1".encode())


def test_traffic_counts_what_came_back() -> None:
    turns = Turns()
    (*_, before, seen) = batches(turns, 20, Question("/"), name="t", users=1, batch=8)
    assert [len(before), len(seen)] == [16, 20]
    assert counted(seen) == {"no answer": 4, "v1": 8, "v2": 8}
    assert told(seen) == "20 requests: no answer 4, v1 8, v2 8"
    assert len(set(turns.ids)) == 20
    assert seen[4].text == "broken off"
    assert median([Seen(n, "", 200, "", float(n)) for n in (3, 1, 2)]) == 2
    assert (counted([]), median([])) == ({}, 0.0)


def run(*numbers: str, **environment: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "mesh.notebook", "run", *numbers],
        cwd=KIT,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_act_without_a_mesh_runs() -> None:
    assert "✓ 7-statistics-of-grading.ipynb" in run("7")


def test_a_kernel_ends_with_its_run_and_its_sockets_are_its_own(tmp_path: Path) -> None:
    import nbformat

    path = tmp_path / "one.ipynb"
    source = """\
import os
from ipykernel.kernelapp import IPKernelApp
print(os.getpid(), IPKernelApp.instance().transport, IPKernelApp.instance().ip)
"""
    cell = nbformat.v4.new_code_cell(source, metadata={"expect": ["[0-9]"]})
    nbformat.write(nbformat.v4.new_notebook(cells=[cell]), path)
    book, found = books.run(path)
    assert found == []
    pid, transport, sockets = book["cells"][0]["outputs"][0]["text"].split()
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid), 0)
    # Not the names that all kernels of a folder would share, of which two could take the same.
    assert transport == "ipc"
    assert Path(sockets).is_absolute()
    assert not Path(sockets).parent.exists()


@pytest.fixture
def home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path_factory.mktemp("h").resolve() / "m"
    monkeypatch.setenv("MESH_LAB_HOME", str(folder))
    return folder


@pytest.fixture
def classroom(home: Path) -> Iterator[str]:
    """The name of a mesh that a notebook takes up."""
    from mesh.notebook.classroom import ERA, TOPOLOGY

    with LocalTestbed(load_topology(TOPOLOGY), era=ERA) as bed:
        yield bed.run.name


def test_traffic_control_runs_on_a_mesh(classroom: str) -> None:
    assert "✓ 3-traffic-control.ipynb" in run("3", MESH=classroom)


@pytest.mark.nightly
@pytest.mark.parametrize("engine", ["mitmproxy", pytest.param("envoy", marks=pytest.mark.envoy)])
def test_all_acts_run_on_both_engines(home: Path, engine: str) -> None:
    assert run(ENGINE=engine).count("✓") == len(STORED)


@pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="waits by a Linux pidfd")
def test_a_killed_kernel_leaves_no_mesh(home: Path) -> None:
    text = (
        "import sys; from mesh.notebook import open_classroom\n"
        "room = open_classroom({'services': {'stock': {'app': 'scripted'}}})\n"
        "print(room.bed.find('stock').app_pid, flush=True); sys.stdin.read()"
    )
    environment = os.environ | {"PYTHONPATH": str(KIT)}
    with subprocess.Popen(
        [sys.executable, "-c", text],
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as kernel:
        assert kernel.stdout is not None
        assert "1 pods behind mitmproxy sidecars" in kernel.stdout.readline()
        application = os.pidfd_open(int(kernel.stdout.readline()))
        kernel.kill()
    ended, _, _ = select.select([application], [], [], 60)
    os.close(application)
    assert ended


def test_what_cannot_be_opened_is_said(monkeypatch: pytest.MonkeyPatch, home: Path) -> None:
    from mesh.notebook import ClassroomError, open_classroom
    from mesh.testbed.client import TestbedError

    monkeypatch.setenv("RUNTIME", "cluster")
    with pytest.raises(TestbedError, match="no runtime 'cluster': local or compose"):
        open_classroom()
    monkeypatch.setenv("RUNTIME", "local")
    monkeypatch.setenv("MESH", "nobody")
    with pytest.raises(ClassroomError, match="No mesh is called 'nobody'"):
        open_classroom()
    monkeypatch.delenv("MESH")
    monkeypatch.setenv("ENGINE", "steam")
    with pytest.raises(TestbedError, match="no engine 'steam'"):
        open_classroom()
