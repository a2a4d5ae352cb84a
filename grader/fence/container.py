"""Students' code in a container of its own: Docker's namespaces, and cgroups for its limits.

    argv = ContainerFence().command(["worker.py"], folder, Limits())

Inside there is no network but a loopback of its own, no file but the image's (read-only),
``/hand-in`` (the folder handed in, read-only) and a small ``/tmp``, no capability and no way to one,
a user that nobody else is.  Memory, processes and processors are limited by the container, so a
crowd of processes has no more than one.  It ends with its caller (``first.py``).

The image is the kit's own (``compose/Dockerfile``), as RUNTIME=compose builds it: its Python is
the one that the code runs on.

What it does not promise (docs/run-a-course.md): the kernel is shared, as behind bubblewrap.  Who
may use Docker is as good as root on that machine, so the command is made here and nothing of it
comes from the code.  A Docker that cannot limit memory and processes is no fence: ``FenceError``.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from grader.fence.limits import USERS, FenceError, Limits

LABEL = "mesh-lab-fence"
FIRST = Path(__file__).with_name("first.py")
PACKAGES = "/kit/packages"


class ContainerFence:
    """Makes commands that run in a container; FenceError where that cannot be done.

    ``build``: make the image when it is not there (a minute, once for each version of the kit).
    """

    def __init__(self, *, build: bool = False) -> None:
        found = shutil.which("docker")
        if not found:
            raise FenceError(refusal("Docker is not here"))
        place = os.environ.get("DOCKER_HOST", "")
        self._docker = [found, *(["--host", place] if place else [])]
        self._check()
        self._image = image(build)
        self.name = f"container {self._image}"

    python: tuple[str, ...] = ("python", "-P", "-s")
    broken = 125

    def _check(self) -> None:
        """Docker answers, and can limit what it has to."""
        asked = [*self._docker, "info", "--format", "{{json .}}"]
        answer = subprocess.run(asked, capture_output=True, text=True, check=False)
        try:
            told = json.loads(answer.stdout)
        except ValueError:
            told = {}
        if answer.returncode or not told.get("ServerVersion"):
            raise FenceError(refusal("Docker does not answer"))
        for name, what in (("MemoryLimit", "memory"), ("PidsLimit", "processes")):
            if not told.get(name):
                raise FenceError(refusal(f"this Docker cannot limit {what}"))

    def command(self, argv: Sequence[str], folder: Path, limits: Limits) -> list[str]:
        """The whole command line; its standard input is the lifeline of what runs inside.

        ``folder`` and its files have to be readable for everybody; what it lies in need not be.
        """
        user = secrets.choice(USERS)
        words = ["run", "--rm", "--interactive", "--pull", "never", "--log-driver", "none"]
        words += ["--label", LABEL, "--network", "none", "--ipc", "none", "--hostname", "fence"]
        words += ["--read-only", "--cap-drop", "ALL", "--security-opt", "no-new-privileges"]
        words += ["--user", f"{user}:{user}", "--pids-limit", str(limits.processes)]
        words += ["--memory", str(limits.memory), "--memory-swap", str(limits.memory)]
        words += ["--cpus", "1", "--oom-score-adj", "500"]
        for name, value in (("cpu", limits.seconds), ("fsize", limits.disk), ("core", 0)):
            words += ["--ulimit", f"{name}={value}:{value}"]
        words += ["--ulimit", "nofile=256:256"]
        words += ["--tmpfs", f"/tmp:rw,nosuid,nodev,mode=1777,size={limits.disk}"]  # noqa: S108  its own
        words += ["--volume", f"{folder.resolve()}:/hand-in:ro", "--workdir", "/hand-in"]
        for name, text in (("PYTHONPATH", PACKAGES), ("HOME", "/tmp"), ("LANG", "C.UTF-8")):  # noqa: S108
            words += ["--env", f"{name}={text}"]
        first = ["python", "-I", "-c", FIRST.read_text(encoding="utf-8"), str(limits.disk)]
        return [*self._docker, *words, self._image, *first, *argv]


def image(build: bool) -> str:
    """The kit's image; FenceError when it is not there, or cannot be built."""
    from contextlib import closing

    from docker.errors import ImageNotFound

    from mesh.testbed.client import TestbedError
    from mesh.testbed.compose.docker import client
    from mesh.testbed.compose.image import KIT_TARGET, REPOSITORY, digest, ensure, use

    try:
        with closing(client()) as docker:
            if build:
                return ensure(docker, KIT_TARGET, lambda text: print(text, flush=True))
            return use(docker, KIT_TARGET)
    except ImageNotFound:
        tag = f"{REPOSITORY}:{KIT_TARGET}-{digest()}"
        raise FenceError(refusal(f"the image {tag} is not built")) from None
    except TestbedError as error:
        raise FenceError(refusal(str(error))) from None


def refusal(why: str) -> str:
    """Why nothing was run, and what can be done."""
    return (
        f"This lab runs students' code, and {why}, so no container can fence it in: start Docker "
        "(`make doctor RUNTIME=compose` says what is missing) or choose the fence bubblewrap. "
        "Nothing was run."
    )
