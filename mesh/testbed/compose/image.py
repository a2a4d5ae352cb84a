"""Image: built when the kit has changed, and only then.

The tag is a digest of all that goes into the image, so a change of the kit makes a new one, and
a second `make lab-1 RUNTIME=compose` builds nothing.  Older images of the kit are removed.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

from docker.client import DockerClient
from docker.errors import DockerException, ImageNotFound

from mesh.state import root
from mesh.testbed.client import TestbedError

REPOSITORY = "mesh-lab-kit"
KIT = Path(__file__).resolve().parents[3]
PARTS = (
    *("compose/Dockerfile", "compose/left-out.txt", "compose/visitors.py"),
    *("requirements", "services", "mesh"),
)
KIT_TARGET, ENVOY_TARGET, LOAD_TARGET = "kit", "kit-envoy", "kit-load"


def digest(kit: Path = KIT) -> str:
    """Return 12 letters that stand for everything in the image."""
    found = hashlib.sha256()
    for part in PARTS:
        top = kit / part
        for path in sorted(top.rglob("*")) if top.is_dir() else [top]:
            if path.is_file() and "__pycache__" not in path.parts:
                found.update(f"{path.relative_to(kit)}\0".encode())
                found.update(path.read_bytes())
    return found.hexdigest()[:12]


def ensure(docker: DockerClient, target: str, say: Callable[[str], None]) -> str:
    """Return the image of a target, built if need be; TestbedError when that fails."""
    tag = f"{REPOSITORY}:{target}-{digest()}"
    with contextlib.suppress(ImageNotFound):
        docker.images.get(tag)
        return tag
    with _alone():
        with contextlib.suppress(ImageNotFound):
            docker.images.get(tag)  # another command has built it meanwhile
            return tag
        _build_new(docker, target, tag, say)
    return tag


@contextlib.contextmanager
def _alone() -> Iterator[None]:
    """Let one command at a time build; the lock ends with its process."""
    with (root() / "image.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _build_new(docker: DockerClient, target: str, tag: str, say: Callable[[str], None]) -> None:
    say(f"Building the image {tag} (the first time takes about a minute and a network)")
    _build(target, tag)
    for image in docker.images.list(REPOSITORY):
        for old in image.tags:
            if old.rpartition("-")[0] == f"{REPOSITORY}:{target}" and old != tag:
                with contextlib.suppress(DockerException):
                    docker.images.remove(old)


def _build(target: str, tag: str) -> None:
    """Build with Compose, which needs no plugin beside itself."""
    content = (
        f"services: {{kit: {{image: '{tag}', build: {{context: '{KIT}', "
        f"dockerfile: compose/Dockerfile, target: {target}}}}}}}"
    )
    environment = dict(os.environ)
    answer = subprocess.run(
        ["docker", "compose", "-p", "mesh-lab-build", "-f", "-", "build", "--quiet"],
        input=content,
        capture_output=True,
        text=True,
        check=False,
        env=environment,
    )
    if answer.returncode != 0:
        words = " ".join(answer.stderr.split("\n")[-12:])
        raise TestbedError(f"the image could not be built: {words.strip()[-600:]}")
