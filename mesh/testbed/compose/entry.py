"""Entry: what a container of the mesh runs.

``python -m mesh.testbed.compose.entry SPEC [GATE]``: SPEC is the JSON of a ``ChildSpec``, the same
that the local runtime forks.  With GATE, a FIFO, the process imports everything first and then
waits there for its bootstrap token: the testbed opens the gate once the pod is registered, so
that containers start side by side, and nobody asks again and again.
"""

from __future__ import annotations

import importlib
import json
import os
import random
import sys
from pathlib import Path
from typing import Any

from mesh import lean
from mesh.agent.agent import BOOTSTRAP_FILE
from mesh.testbed.child import ChildSpec, clean_environment
from mesh.testbed.plain import from_plain


def main(argument: str, gate: str = "") -> None:
    """Run the entry point of a spec."""
    spec: ChildSpec = from_plain(ChildSpec, json.loads(argument))
    clean_environment(spec.env)
    lean.prepare(spec.module)
    module = importlib.import_module(spec.module)
    options: Any = from_plain(getattr(module, spec.options_type), spec.options)
    if gate:
        token = Path(gate).read_text(encoding="ascii")  # blocks until the gate is opened
        agent = getattr(options, "agent", None)
        if agent is not None:
            path = agent.folder / BOOTSTRAP_FILE
            path.unlink(missing_ok=True)
            path.touch(mode=0o600)
            path.write_text(token.strip(), encoding="ascii")
    random.seed()
    os.umask(0o022)
    getattr(module, spec.function)(options)


if __name__ == "__main__":
    main(*sys.argv[1:])
