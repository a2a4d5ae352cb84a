r"""A notebook as a file: which are there, what their cells promise, and running one.

Each code cell that prints or draws says in its metadata what must come of it, as regular expressions:

    {"expect": ["200 requests: v1 \\d+, v2 \\d+"], "slideshow": {"slide_type": "slide"}}

``run`` executes a notebook from a fresh kernel and compares; a figure's text is its sentence.  They
are stored without outputs.  ``python -m mesh.notebook run`` does it for all of them.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

KIT = Path(__file__).resolve().parents[2]
NOTEBOOKS = KIT / "notebooks"
SECONDS = 300
"""The longest that one cell may take."""


@dataclass(frozen=True, slots=True)
class Fault:
    """A cell that did not do what it promises: its number from 0, and a sentence."""

    cell: int
    text: str

    def __str__(self) -> str:
        return f"cell {self.cell}: {self.text}"


def books() -> list[Path]:
    """The notebooks, in the order of the acts."""
    return sorted(NOTEBOOKS.glob("[0-9]*.ipynb"))


def read(path: Path) -> Any:
    """Read a notebook (an ``nbformat`` node, which is a dict)."""
    import nbformat

    return nbformat.read(path, as_version=4)


def run(path: Path, environment: Mapping[str, str] | None = None) -> tuple[Any, list[Fault]]:
    """Run a notebook from a fresh kernel; returns it with outputs, and what went wrong."""
    from jupyter_client.manager import AsyncKernelManager
    from nbclient import NotebookClient
    from nbclient.exceptions import CellExecutionError, DeadKernelError

    book = read(path)
    with (
        _environment({"PYTHONPATH": str(KIT), **(environment or {})}),
        TemporaryDirectory(prefix="kernel-") as sockets,
    ):
        # No port is opened.  Without a file of its own a kernel's sockets lie where the command runs,
        # by the same names for every kernel: two runs at a time would talk to one of them.
        manager = AsyncKernelManager(
            kernel_name="python3", transport="ipc", connection_file=f"{sockets}/kernel.json"
        )
        client = NotebookClient(
            book, timeout=SECONDS, km=manager, resources={"metadata": {"path": str(KIT)}}
        )
        client.owns_km = (
            True  # it ends the kernel that it was given, and with it what a cell started
        )
        try:
            client.execute()
        except DeadKernelError:
            return book, [Fault(0, "the kernel was killed while it ran a cell")]
        except CellExecutionError as error:
            at = next(n for n, cell in enumerate(book["cells"]) if _failed(cell))
            return book, [Fault(at, f"{error.ename}: {error.evalue}")]
    return book, faults(book)


def faults(book: Any) -> list[Fault]:
    """What the outputs of a run lack of what the cells promise, or have without a promise."""
    found = []
    for number, cell in enumerate(book["cells"]):
        if cell["cell_type"] != "code":
            continue
        text, wanted = said(cell), list(cell["metadata"].get("expect", ()))
        if text and not wanted:
            found.append(Fault(number, f"it promises nothing and says {text[:200]!r}"))
        found += [
            Fault(number, f"{pattern!r} is not in {text[:600]!r}")
            for pattern in wanted
            if not re.search(pattern, text, re.DOTALL)
        ]
    return found


def said(cell: Any) -> str:
    """All that a cell printed and showed, as text."""
    parts = []
    for output in cell.get("outputs", ()):
        if output["output_type"] == "stream":
            parts.append(output["text"])
        elif "data" in output:
            parts.append(output["data"].get("text/plain", ""))
    return "\n".join(parts)


def bare(book: Any) -> bool:
    """Whether a notebook is stored as it should be: no outputs, no counters."""
    return all(
        not cell.get("outputs") and cell.get("execution_count") is None
        for cell in book["cells"]
        if cell["cell_type"] == "code"
    )


def _failed(cell: Any) -> bool:
    return any(output["output_type"] == "error" for output in cell.get("outputs", ()))


@contextmanager
def _environment(more: Mapping[str, str]) -> Iterator[None]:
    """What the kernel inherits while the block runs."""
    before = {name: os.environ.get(name) for name in more}
    os.environ.update(more)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
