"""Kept: what a mesh writes into its run folder, so that another command can take it up."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from mesh.state import RunFolder, write_atomic
from mesh.testbed.client import TestbedError
from mesh.testbed.plain import from_plain, to_plain
from mesh.testbed.pods import LocalPod
from mesh.testbed.podset import PodSet

STATE_FILE = "mesh.json"


def read_state(run: RunFolder) -> dict[str, Any]:
    """Return what a mesh wrote into its folder; TestbedError when it is gone."""
    try:
        state: dict[str, Any] = json.loads((run.path / STATE_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        raise TestbedError(f"the mesh {run.name} is still starting, or is gone") from None
    return state


def write_state(run: RunFolder, state: Mapping[str, object]) -> None:
    """Write it anew, in one step."""
    write_atomic(run.path / STATE_FILE, json.dumps(to_plain(state)))


def restore_pods(deployment: PodSet, state: Mapping[str, Any]) -> None:
    """Let ``deployment`` know the pods of a state that was read."""
    deployment.pods = {name: from_plain(LocalPod, raw) for name, raw in state["pods"].items()}
    deployment.killed = [from_plain(LocalPod, raw) for raw in state["killed"]]
    deployment.count, deployment.mixer_port = int(state["count"]), int(state["mixer_port"])
