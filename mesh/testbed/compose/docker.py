"""Docker: the few things that are asked of the engine, and its refusals as one sentence."""

from __future__ import annotations

import json
import os
import socket
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from docker.client import DockerClient
from docker.errors import DockerException

from mesh.testbed.client import TestbedError

NO_DOCKER = (
    "RUNTIME=compose needs a running Docker: start it (`sudo systemctl start docker`, or Docker "
    "Desktop), or leave RUNTIME away; `make doctor` says more"
)
NO_COMPOSE = (
    "RUNTIME=compose needs Docker Compose v2: install the package docker-compose-plugin "
    "(`docker compose version` tries it), or leave RUNTIME away"
)


def client() -> DockerClient:
    """Connect to the engine; TestbedError with a remedy when there is none."""
    place = os.environ.get("DOCKER_HOST") or "unix:///var/run/docker.sock"
    try:
        if place.startswith("unix://"):  # the library leaves its socket open where nobody listens
            with socket.socket(socket.AF_UNIX) as probe:
                probe.connect(place.removeprefix("unix://"))
        found = DockerClient.from_env(timeout=60)
        found.ping()
    except (DockerException, OSError):
        raise TestbedError(NO_DOCKER) from None
    return found


def check_compose() -> None:
    """Raise TestbedError when there is no Compose v2."""
    try:
        answer = subprocess.run(
            ["docker", "compose", "version", "--short"],
            capture_output=True,
            text=True,
            check=False,
            stdin=subprocess.DEVNULL,
        )
    except OSError:
        raise TestbedError(NO_DOCKER) from None
    if answer.returncode != 0 or not answer.stdout.strip().lstrip("v").startswith(
        ("2.", "3.", "4.", "5.")
    ):
        raise TestbedError(NO_COMPOSE)


@dataclass(frozen=True, slots=True)
class Compose:
    """``docker compose`` for one project's file; ``profiles``: what is started beside the mesh."""

    name: str
    file: Path
    profiles: tuple[str, ...] = ()

    def run(self, *words: str) -> str:
        """Run a Compose command and return what it printed; TestbedError when it failed."""
        chosen = [word for name in self.profiles for word in ("--profile", name)]
        command = ["docker", "compose", "-p", self.name, "-f", str(self.file), *chosen, *words]
        answer = subprocess.run(
            command, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL
        )
        if answer.returncode != 0:
            lines = [line for line in answer.stderr.splitlines() if line.strip()]
            raise TestbedError(f"docker compose {words[0]} failed: {' '.join(lines[-3:])}")
        return answer.stdout

    def write(self, content: dict[str, Any]) -> None:
        """Write the project's file; JSON is YAML too."""
        self.file.write_text(json.dumps(content, indent=1), encoding="utf-8")

    def up(self, *services: str) -> None:
        """Start services (none: all of the file)."""
        self.run("up", "-d", "--no-build", "--quiet-pull", *services)

    def remove(self, services: Sequence[str]) -> None:
        """Kill and remove services."""
        self.run("rm", "-f", "-s", *services)


def remove_project(docker: DockerClient, name: str) -> None:
    """Remove every container, network and volume of a project, whatever became of its file."""
    import contextlib
    from concurrent.futures import ThreadPoolExecutor

    chosen: Any = {"label": f"com.docker.compose.project={name}"}

    def remove(container: Any) -> None:
        with contextlib.suppress(DockerException):
            container.remove(force=True, v=True)

    containers = docker.containers.list(all=True, filters=chosen, ignore_removed=True)
    # Whoever shares another's network goes first.
    owners = [each for each in containers if str(each.name).endswith("-pod-1")]
    for group in ([each for each in containers if each not in owners], owners):
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(remove, group))
    for network in docker.networks.list(filters=chosen):
        with contextlib.suppress(DockerException):
            network.remove()
    for volume in docker.volumes.list(filters=chosen):
        with contextlib.suppress(DockerException):
            volume.remove(force=True)
