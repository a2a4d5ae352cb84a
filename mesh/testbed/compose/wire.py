"""Wire: ``meshctl tap`` in containers, the packets at the pod's own interface (``sniffer``).

A container of the kit's image joins the pod's network with NET_RAW and nothing else, and ends with
the block.  Nothing changes for the mesh: no relay, no configuration.
"""

from __future__ import annotations

import base64
import contextlib
import json
import queue
import subprocess
from collections.abc import Collection, Iterator
from threading import Thread

from mesh.state import RunFolder
from mesh.testbed.client import TestbedError
from mesh.testbed.compose.project import RUN_LABEL
from mesh.testbed.tap import Chunk


class InterfaceWire:
    """The chunks of one sniffer."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self._chunks: queue.SimpleQueue[Chunk | None] = queue.SimpleQueue()
        Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        with contextlib.suppress(ValueError, OSError):  # closed, or killed in the middle of a line
            for line in self._process.stdout:
                number, port, to_pod, data, when = json.loads(line)
                self._chunks.put(Chunk(number, port, to_pod, base64.b64decode(data), when))
        self._chunks.put(None)

    def next(self, timeout: float | None = None) -> Chunk | None:
        """Return the next chunk; None when ``timeout`` seconds went by without one, or at the end."""
        with contextlib.suppress(queue.Empty):
            return self._chunks.get(timeout=timeout)
        return None


@contextlib.contextmanager
def listen(
    run: RunFolder, owner: str, image: str, address: str, ports: Collection[int]
) -> Iterator[InterfaceWire]:
    """Listen at the interface of the network of the container ``owner`` while the block runs.

    ``run``: the mesh, with which it ends at the latest.  TestbedError when it does not start.
    """
    name = f"{owner}-tap"
    words = ["docker", "run", "--rm", "--name", name, "--network", f"container:{owner}"]
    words += ["--user", "0", "--cap-drop", "ALL", "--cap-add", "NET_RAW", "--read-only"]
    words += ["--security-opt", "no-new-privileges:true", "--memory", "64m", "--pids-limit", "16"]
    words += ["--label", f"{RUN_LABEL}={run.path}"]
    words += ["--label", f"com.docker.compose.project={run.name}"]
    words += [image, "python", "-m", "mesh.testbed.compose.sniffer", address]
    words += [str(each) for each in ports]
    with subprocess.Popen(
        words,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,  # Ctrl-C is for the command: it ends the container
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        try:
            if process.stdout.readline() != "ready\n":
                process.kill()
                words = process.stderr.read().strip().splitlines()[-1:]
                raise TestbedError(f"nobody can listen at {owner}: {' '.join(words)}")
            yield InterfaceWire(process)
        finally:
            subprocess.run(["docker", "rm", "-f", name], capture_output=True, check=False)
            process.wait()
