"""Which testbed: the runtime by its name, and a kept mesh by what its folder says."""

from __future__ import annotations

import os
from typing import Any

from mesh.state import RunFolder
from mesh.testbed.client import TestbedError
from mesh.testbed.kept import read_state
from mesh.testbed.local import LocalTestbed
from mesh.testbed.mesh_testbed import MeshTestbed
from mesh.topology import Topology

RUNTIMES = ("local", "compose")
CAPTURE = "MESH_LAB_CAPTURE"
"""Environment: 0 for containers without NET_ADMIN (docs/compose.md)."""


def testbed_for(runtime: str, topology: Topology, **options: Any) -> MeshTestbed:
    """Return a mesh of ``topology``, not started yet; TestbedError for an unknown runtime."""
    if runtime == "local":
        return LocalTestbed(topology, **options)
    if runtime == "compose":
        from mesh.testbed.compose.testbed import ComposeTestbed

        options.setdefault("captured", os.environ.get(CAPTURE, "1") not in ("0", "no", "false"))
        return ComposeTestbed(topology, **options)
    raise TestbedError(f"there is no runtime {runtime!r}: {' or '.join(RUNTIMES)}")


def attach_to(run: RunFolder) -> MeshTestbed:
    """Take up a kept mesh, whatever it runs on; TestbedError when it is gone."""
    if read_state(run).get("runtime", "local") == "compose":
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
