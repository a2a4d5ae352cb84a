"""Image: built when the kit has changed, and only then.

The tag is a digest of all that goes into the image, so a change of the kit makes a new one, and
a second `make lab-1 RUNTIME=compose` builds nothing.  A further tag, ``kit-used-by-CHECKOUT``, says
which image a copy of the kit works with; what no copy has used for a month goes at the next build,
and at once what only this copy had used.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import re
import subprocess
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
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
UNUSED = timedelta(days=30)
"""After so long without a use the mark of another copy counts no more: that copy may be gone."""


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


def mark(kit: Path = KIT) -> str:
    """Return what stands for this copy of the kit in the tags of the images that it uses."""
    return f"used-by-{hashlib.sha256(os.fsencode(kit)).hexdigest()[:12]}"


def use(docker: DockerClient, target: str) -> str:
    """Return the image of a target, marked as used; ImageNotFound when it is not built."""
    tag = f"{target}-{digest()}"
    docker.images.get(f"{REPOSITORY}:{tag}").tag(REPOSITORY, f"{target}-{mark()}")
    return f"{REPOSITORY}:{tag}"


def ensure(docker: DockerClient, target: str, say: Callable[[str], None]) -> str:
    """Return the image of a target, built if need be; TestbedError when that fails."""
    with contextlib.suppress(ImageNotFound):
        return use(docker, target)
    with _alone():
        with contextlib.suppress(ImageNotFound):
            return use(docker, target)  # another command has built it meanwhile
        tag = f"{REPOSITORY}:{target}-{digest()}"
        say(f"Building the image {tag} (the first time takes about a minute and a network)")
        _build(target, tag)
        used = use(docker, target)
        for old in unused(_tagged(docker), target, mark(), datetime.now(UTC)):
            with contextlib.suppress(DockerException):
                docker.images.remove(f"{REPOSITORY}:{old}")
    return used


@contextlib.contextmanager
def _alone() -> Iterator[None]:
    """Let one command at a time build; the lock ends with its process."""
    with (root() / "image.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


@dataclass(frozen=True, slots=True)
class Tagged:
    """An image: its tags in the kit's repository, and when it was last tagged, which is each use."""

    tags: tuple[str, ...]
    at: datetime


def unused(images: Iterable[Tagged], target: str, ours: str, now: datetime) -> list[str]:
    """Return the tags of a target's images that no copy uses; ``ours`` is this copy's mark."""
    of_target = re.compile(rf"{target}-(used-by-)?[0-9a-f]{{12}}")
    found: list[str] = []
    for image in images:
        tags = [tag for tag in image.tags if of_target.fullmatch(tag)]
        marks = [tag for tag in tags if tag.startswith(f"{target}-used-by-")]
        if f"{target}-{ours}" in marks or (marks and now - image.at < UNUSED):
            continue
        found += tags
    return found


def _tagged(docker: DockerClient) -> Iterator[Tagged]:
    for image in docker.images.list(REPOSITORY):
        names = (name.rpartition(":") for name in image.tags)
        tags = tuple(tag for repository, _, tag in names if repository == REPOSITORY)
        at = datetime.fromisoformat(image.attrs["Metadata"]["LastTagTime"])
        yield Tagged(tags, at)


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
