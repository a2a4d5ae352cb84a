"""Entry: what a container of the mesh runs.

``python -m mesh.testbed.compose.entry SPEC [GATE [READY]]``: SPEC is the JSON of a ``ChildSpec``, the
same that the local runtime forks.  With GATE, a FIFO, the process imports everything first and then
waits there for its bootstrap token: the testbed opens the gate once the pod is registered, so
that containers start side by side, and nobody asks again and again.  READY is the file into which
a process writes that it works.
"""

from __future__ import annotations

import importlib
import json
import os
import random
import select
import sys
from typing import Any

from mesh import lean
from mesh.agent.agent import BOOTSTRAP_FILE
from mesh.testbed.child import ChildSpec, clean_environment
from mesh.testbed.plain import from_plain


def passed(gate: str) -> str:
    """Wait at a gate for the token; the testbed sees that somebody waits there (``appears``)."""
    fd = os.open(gate, os.O_RDONLY | os.O_NONBLOCK)
    select.select([fd], [], [])
    os.set_blocking(fd, True)
    with open(fd, encoding="ascii") as file:  # noqa: PTH123  it is open already
        return file.read().strip()


def main(argument: str, gate: str = "", ready: str = "") -> None:
    """Run the entry point of a spec."""
    spec: ChildSpec = from_plain(ChildSpec, json.loads(argument))
    clean_environment(spec.env)
    lean.prepare(spec.module)
    module = importlib.import_module(spec.module)
    told = {spec.ready_option: _writable(ready)} if ready else {}
    options: Any = from_plain(getattr(module, spec.options_type), spec.options | told)
    if gate:
        token = passed(gate)
        agent = getattr(options, "agent", None)
        if agent is not None:
            path = agent.folder / BOOTSTRAP_FILE
            path.unlink(missing_ok=True)
            path.touch(mode=0o600)
            path.write_text(token, encoding="ascii")
    random.seed()
    os.umask(0o022)
    getattr(module, spec.function)(options)


def _writable(path: str) -> int:
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)


if __name__ == "__main__":
    main(*sys.argv[1:])
