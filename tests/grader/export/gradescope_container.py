"""A container like Gradescope's, made of namespaces: its folders, its limits, its two scripts.

The root is a chroot in a mount and a process namespace: this machine's programs read-only, and
``/autograder``, ``/tmp``, ``/root``, ``/var`` and ``/run`` of its own.  The limits are a control
group below this process' own one (version 1 of them; version 2 where this process sits at the root
of its hierarchy).  Needs root.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.processes import commands

CPU = 0.5
MEMORY = 768 << 20
SECONDS = 600.0
GROUPS = Path("/sys/fs/cgroup")
PERIOD = 100_000

SYSTEM = ("bin", "sbin", "lib", "lib32", "lib64", "usr", "etc", "opt", "sys")
OWN = ("autograder", "dev", "proc", "root", "run", "tmp", "var/tmp")

ENTER = """\
set -e
root=$1 python=$2 venv=$3; shift 3
for name in {system}; do
    [ -d "$root/$name" ] && [ ! -L "$root/$name" ] || continue
    mount --rbind "/$name" "$root/$name"
    mount -o remount,bind,ro "$root/$name"
done
mount --rbind /dev "$root/dev"
mount -t proc proc "$root/proc"
mount --bind "$python" "$root$python"
mount -o remount,bind,ro "$root$python"
[ -z "$venv" ] || mount --bind "$venv" "$root/autograder/source/kit/.venv"
exec chroot "$root" /bin/sh -c 'cd /autograder && exec "$@"' sh "$@"
"""
PASSED_ON = ("PIP_", "SSL_CERT", "REQUESTS_CA", "http_proxy", "https_proxy", "no_proxy")


def why_not() -> str:
    """Why such a container cannot be made here; ``""`` when it can."""
    if os.geteuid() != 0:
        return "a container like Gradescope's needs root"
    if shutil.which("unshare") is None:
        return "a container like Gradescope's needs unshare (util-linux)"
    made = subprocess.run(["unshare", "--mount", "--pid", "--fork", "true"], check=False)
    if made.returncode:
        return "this machine makes no namespaces"
    try:
        with limits():
            return ""
    except OSError as error:
        return f"this machine makes no control group: {error}"


@dataclass(frozen=True, slots=True)
class Limits:
    """The control group of one run: where processes join, and what it counts."""

    folders: tuple[Path, ...]
    cpu: Path
    memory: Path
    resident: tuple[str, ...]
    killed: str

    def resident_bytes(self) -> int:
        """The memory that cannot be taken back: without the cache of files."""
        return sum(_counter(self.memory / "memory.stat", name) for name in self.resident)

    def kills(self) -> int:
        """How many processes ended for want of memory."""
        return _counter(self.memory / self.killed, "oom_kill")

    def throttled(self) -> int:
        """How many times the processes had to wait for their share of the processor."""
        return _counter(self.cpu / "cpu.stat", "nr_throttled")

    def processes(self) -> list[int]:
        """Everything that runs under these limits."""
        return [int(line) for line in (self.memory / "cgroup.procs").read_text().split()]


@contextmanager
def limits() -> Iterator[Limits]:
    """Half a processor and 768 MB while the block runs; OSError where they cannot be set."""
    name = f"gradescope-{os.getpid()}"
    quota = int(CPU * PERIOD)
    if (GROUPS / "cgroup.controllers").exists():
        group = GROUPS / name
        made = Limits((group,), group, group, ("anon", "shmem"), "memory.events")
        settings = {"cpu.max": f"{quota} {PERIOD}", "memory.max": MEMORY, "memory.swap.max": 0}
        (GROUPS / "cgroup.subtree_control").write_text("+cpu +memory")
    else:
        cpu, memory = (_own_group(kind) / name for kind in ("cpu", "memory"))
        kinds = ("total_rss", "total_shmem")
        made = Limits((cpu, memory), cpu, memory, kinds, "memory.oom_control")
        settings = {
            "cpu.cfs_period_us": PERIOD,
            "cpu.cfs_quota_us": quota,
            "memory.limit_in_bytes": MEMORY,
            "memory.memsw.limit_in_bytes": MEMORY,
        }
    for folder in made.folders:
        folder.mkdir()
    try:
        for file, value in settings.items():
            folder = made.cpu if file.startswith("cpu") else made.memory
            (folder / file).write_text(str(value))
        yield made
    finally:
        for folder in made.folders:
            _remove(folder)


def _own_group(kind: str) -> Path:
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        _, kinds, path = line.split(":", 2)
        if kind in kinds.split(","):
            return GROUPS / kind / path.lstrip("/")
    raise FileNotFoundError(f"no control group for {kind}")


def _remove(folder: Path) -> None:
    """Remove a group; the kernel lets go of the last process a moment after it ended."""
    until = time.monotonic() + 10
    while True:
        try:
            return folder.rmdir()
        except OSError:
            if time.monotonic() > until:
                raise
            time.sleep(0.05)


def _counter(path: Path, name: str) -> int:
    for line in path.read_text().splitlines():
        key, _, value = line.partition(" ")
        if key == name:
            return int(value)
    return 0


@dataclass(slots=True)
class Outcome:
    """What one submission got and cost."""

    results: dict[str, Any]
    seconds: float
    peak: int
    kills: int
    throttled: int
    output: str


@dataclass(slots=True)
class Container:
    """One image: the zip unpacked below ``root``, with ``venv`` from another one of these."""

    root: Path
    venv: Path | None = None
    python: Path = field(default_factory=lambda: Path(sys.base_prefix).resolve())

    @property
    def autograder(self) -> Path:
        """``/autograder``, seen from outside."""
        return self.root / "autograder"

    def build(self, archive: Path) -> None:
        """Lay the folders out and run ``setup.sh`` as root, as Gradescope builds an image."""
        for name in (*OWN, str(self.python).lstrip("/")):
            (self.root / name).mkdir(parents=True, exist_ok=True)
        (self.root / "tmp").chmod(0o1777)
        for name in SYSTEM:
            outside, inside = Path("/", name), self.root / name
            if outside.is_symlink():
                inside.symlink_to(outside.readlink())
            elif outside.is_dir():
                inside.mkdir(exist_ok=True)
        source = self.autograder / "source"
        with zipfile.ZipFile(archive) as packed:
            packed.extractall(source)
        shutil.copy(source / "run_autograder", self.autograder / "run_autograder")
        (self.autograder / "run_autograder").chmod(0o755)
        for name in ("submission", "results"):
            (self.autograder / name).mkdir()
        if self.venv is not None:
            (source / "kit" / ".venv").mkdir()
        done = subprocess.run(
            self._inside("sh", "/autograder/source/setup.sh"),
            env=self._environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout

    def _inside(self, *command: str) -> list[str]:
        script = ENTER.format(system=" ".join(SYSTEM))
        apart = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "sh", "-c", script, "sh"]
        return [*apart, str(self.root), str(self.python), str(self.venv or ""), *command]

    def _environment(self) -> dict[str, str]:
        kept = {key: value for key, value in os.environ.items() if key.startswith(PASSED_ON)}
        return {
            **kept,
            "HOME": "/root",
            "LANG": "C.UTF-8",
            "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "PYTHON": str(self.python / "bin" / "python3"),
        }

    def submit(
        self, files: dict[str, bytes], metadata: dict[str, Any], *, kill: str = ""
    ) -> Outcome:
        """Run ``run_autograder`` under the limits; the process whose command has ``kill`` is killed."""
        for name, data in files.items():
            path = self.autograder / "submission" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        (self.autograder / "submission_metadata.json").write_text(json.dumps(metadata))
        log = self.root.parent / f"{self.root.name}.log"
        begin, peak = time.monotonic(), 0
        with limits() as group, log.open("wb") as out:
            joined = "".join(f"echo $$ >{folder}/cgroup.procs; " for folder in group.folders)
            child = subprocess.Popen(
                ["sh", "-ec", f'{joined}exec "$@"', "sh", *self._inside("./run_autograder")],
                env=self._environment(),
                stdout=out,
                stderr=out,
            )
            try:
                while child.poll() is None and time.monotonic() < begin + SECONDS:
                    peak = max(peak, group.resident_bytes())
                    if kill and (victim := _running(group, kill)):
                        os.kill(victim, signal.SIGKILL)
                        kill = ""
                    with suppress(subprocess.TimeoutExpired):
                        child.wait(timeout=0.2)  # how often memory is looked at
                seconds = time.monotonic() - begin
                kills, throttled = group.kills(), group.throttled()
            finally:
                child.kill()  # and with it everything in its namespace
                child.wait()
        output = log.read_text(errors="replace")
        assert child.returncode == 0, f"after {seconds:.0f} s: {child.returncode}\n{output}"
        results = json.loads((self.autograder / "results" / "results.json").read_text())
        return Outcome(results, seconds, peak, kills, throttled, output)


def _running(group: Limits, word: str) -> int:
    """A process under these limits with ``word`` in its command; 0 when there is none."""
    mine = set(group.processes())
    return next((pid for pid, words in commands() if pid in mine and word.encode() in words), 0)
