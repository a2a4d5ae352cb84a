"""A chain of three applications and five proxies, and the same applications behind other proxies.

    client -> proxy -> customer -> proxy -> proxy -> preference -> proxy -> proxy -> recommendation

Stock is five times ``mitmdump -q`` in reverse mode; the sidecars and Envoy are the kit's mesh with its
access logs, with mutual TLS and without; last, the applications without any proxy.  All of them stand
at the same time and are loaded in turn.  One machine's processors carry the applications and the load
too, so throughput says less about a proxy than ``cpu_ms`` does: all proxies' CPU for one request.
"""

from __future__ import annotations

import contextlib
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import IO

from mesh.bench.load import send
from mesh.bench.process import cpu_seconds, end, pss_bytes, start
from mesh.bench.proxies import free_ports, mitmdump
from mesh.bench.rounds import Figures, interleaved
from mesh.testbed.client import TestbedError
from mesh.testbed.load_topology import load_topology
from mesh.testbed.local import LocalTestbed

SAMPLING = 1.0
"""Percent of the requests that become spans: Istio's default."""
TOPOLOGY = {
    "gateway": False,
    "services": {"customer": None, "preference": None, "recommendation": None},
}
PROGRAM = ("-m", "services.server")
"""What Python runs as an application."""
PLAIN = """\
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: default, namespace: tutorial}
spec: {mtls: {mode: DISABLE}}
"""


@dataclass(frozen=True, slots=True)
class Child:
    """A process of a chain, and the file that it prints to."""

    command: str
    process: subprocess.Popen[str]
    printed: IO[str]

    def check(self) -> None:
        """RuntimeError with what it printed when it has ended."""
        code = self.process.poll()
        if code is not None:
            self.printed.seek(0)
            printed = self.printed.read()[-2000:].strip()
            raise RuntimeError(f"{self.command} ended with {code}: {printed}")


@dataclass(frozen=True, slots=True)
class Chain:
    """A running chain: the port of its beginning, its proxies' processes, and those that it began."""

    port: int
    pids: tuple[int, ...]
    children: tuple[Child, ...] = ()

    def await_answer(self) -> None:
        """Wait until the whole chain answers; RuntimeError when a process of it ends instead.

        What begins a plain chain are processes that do not say when they are ready.
        """
        while True:
            with contextlib.suppress(subprocess.CalledProcessError):
                figures = send(self.port, 1)
                if figures["requests"] and not figures["errors"]:
                    return
            for child in self.children:
                child.check()

    def load(self, requests: int) -> Figures:
        """Send ``requests``; adds ``cpu_ms`` a request and ``pss_mb`` of all proxies together."""
        before = sum(map(cpu_seconds, self.pids))
        figures = send(self.port, requests)
        used = sum(map(cpu_seconds, self.pids)) - before
        figures["cpu_ms"] = used * 1000 / figures["requests"]
        figures["pss_mb"] = sum(map(pss_bytes, self.pids)) / 1e6
        return figures


@contextlib.contextmanager
def plain_chain(proxies: bool) -> Iterator[Chain]:
    """The applications, each at a port, with five stock mitmdumps between them or with none."""
    with contextlib.ExitStack() as stack:
        children: list[Child] = []

        def child(words: list[str]) -> int:
            printed = stack.enter_context(tempfile.TemporaryFile("w+", encoding="utf-8"))
            process = start(words, stdout=printed, stderr=subprocess.STDOUT)
            stack.callback(end, process)
            children.append(Child(" ".join(words), process, printed))
            return process.pid

        customer, preference, recommendation, *ports = free_ports(8)
        ways = [customer, ports[2], preference, ports[4], recommendation]
        if proxies:
            found = [child(mitmdump(*each)) for each in zip(ports, ways, strict=True)]
            first, second, third = ports[0], ports[1], ports[3]
        else:
            found, first, second, third = [], customer, preference, recommendation
        for name, port, proxy in (
            ("customer", customer, second),
            ("preference", preference, third),
            ("recommendation", recommendation, 0),
        ):
            way = ["env", f"http_proxy=http://127.0.0.1:{proxy}"] if proxy else []
            child([*way, sys.executable, *PROGRAM, name, f"127.0.0.1:{port}"])
        yield Chain(first, tuple(found), tuple(children))


def mesh_chain(mesh: LocalTestbed) -> Chain:
    """The chain of a mesh of ``TOPOLOGY``: it begins at customer's inbound listener."""
    pods = [mesh.find(pod.name) for pod in mesh.pods()]
    (port,) = (pod.pod.ports[8080] for pod in pods if pod.pod and pod.pod.service == "customer")
    return Chain(port, tuple(pod.sidecar_pid for pod in pods))


def measure(rounds: int, requests: int) -> dict[str, Figures]:
    """Measure all chains in turn; ``x stock`` is throughput against stock mitmdump."""
    with contextlib.ExitStack() as stack:
        chains = {
            "no proxy": stack.enter_context(plain_chain(proxies=False)),
            "stock mitmdump": stack.enter_context(plain_chain(proxies=True)),
        }
        for engine, name in (("mitmproxy", "mitmproxy sidecar"), ("envoy", "Envoy")):
            for way, text in (("mutual TLS", ""), ("plain text", PLAIN)):
                mesh = LocalTestbed(load_topology(TOPOLOGY), engine=engine, sampling=SAMPLING)
                try:
                    stack.enter_context(mesh)
                except TestbedError:  # no Envoy for this machine
                    continue
                if text:
                    mesh.apply([("plain.yaml", text)])
                chains[f"{name}, {way}"] = mesh_chain(mesh)
        for chain in chains.values():
            chain.await_answer()
            chain.load(max(requests // 5, 10))
        found = interleaved(
            {name: partial(chain.load, requests) for name, chain in chains.items()}, rounds
        )
    stock = found["stock mitmdump"]["rps"]
    for figures in found.values():
        figures["x stock"] = figures["rps"] / stock
    return found
