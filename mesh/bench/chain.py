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
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

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
PLAIN = """\
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: default, namespace: tutorial}
spec: {mtls: {mode: DISABLE}}
"""


@dataclass(frozen=True, slots=True)
class Chain:
    """A running chain: the port of its beginning and the processes of its proxies."""

    port: int
    pids: tuple[int, ...]

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

        def child(words: list[str]) -> subprocess.Popen[str]:
            process = start(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            stack.callback(end, process)
            return process

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
            child([*way, sys.executable, "-m", "services.server", name, f"127.0.0.1:{port}"])
        yield Chain(first, tuple(process.pid for process in found))


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
            _await(chain.port)
            chain.load(max(requests // 5, 10))
        found = interleaved(
            {name: partial(chain.load, requests) for name, chain in chains.items()}, rounds
        )
    stock = found["stock mitmdump"]["rps"]
    for figures in found.values():
        figures["x stock"] = figures["rps"] / stock
    return found


def _await(port: int) -> None:
    """Wait until the whole chain answers; what begins it is a process that says nothing."""
    while True:
        with contextlib.suppress(subprocess.CalledProcessError):
            figures = send(port, 1)
            if figures["requests"] and not figures["errors"]:
                return
