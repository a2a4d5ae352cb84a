"""Which testbed: the runtime by its name, and a kept mesh by what its folder says."""

from __future__ import annotations

import json
from typing import Any

from mesh.state import RunFolder
from mesh.testbed.client import TestbedError
from mesh.testbed.local import STATE_FILE, LocalTestbed
from mesh.topology import Topology

RUNTIMES = ("local", "compose")


def testbed_for(runtime: str, topology: Topology, **options: Any) -> LocalTestbed:
    """Return a mesh of ``topology``, not started yet; TestbedError for an unknown runtime."""
    if runtime == "local":
        return LocalTestbed(topology, **options)
    if runtime == "compose":
        from mesh.testbed.compose.testbed import ComposeTestbed

        return ComposeTestbed(topology, **options)
    raise TestbedError(f"there is no runtime {runtime!r}: {' or '.join(RUNTIMES)}")


def attach_to(run: RunFolder) -> LocalTestbed:
    """Take up a kept mesh, whatever it runs on; TestbedError when it is gone."""
    try:
        state = json.loads((run.path / STATE_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        raise TestbedError(f"the mesh {run.name} is still starting, or is gone") from None
    if state.get("runtime", "local") == "compose":
        from mesh.testbed.compose.testbed import ComposeTestbed

        return ComposeTestbed.attach(run)
    return LocalTestbed.attach(run)


def sweep_containers() -> list[str]:
    """Remove what killed meshes left in Docker; returns their names (no Docker: nothing)."""
    import shutil
    from contextlib import closing

    if shutil.which("docker") is None:
        return []
    from mesh.testbed.compose.docker import client
    from mesh.testbed.compose.testbed import sweep

    try:
        with closing(client()) as engine:
            return sweep(engine)
    except TestbedError:
        return []
