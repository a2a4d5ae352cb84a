"""One hop, three proxies: stock mitmdump, the mitmproxy sidecar, and Envoy on the same xDS.

All three take the same requests over keep-alive connections and send them to the same upstream.
Sidecar and Envoy get their configuration from one control plane, with the access log on; stock
mitmdump runs as ``mitmdump -q`` in reverse mode, which neither routes nor logs.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

from mesh.bench.load import send
from mesh.bench.process import cpu_seconds, end, pss_bytes, start
from mesh.envoy.bootstrap import bootstrap
from mesh.envoy.supervisor import EnvoyMissingError, EnvoyOptions, command, find_binary
from mesh.pilot.client import PilotClient
from mesh.pilot.node import ProxyNode
from mesh.testbed.ports import Ports
from mesh.topology import Pod, Service

AUTHORITY = "upstream:8080"
_NAMESPACE = "bench"
_PILOT = (
    "import sys; from pathlib import Path; from mesh.pilot.main import PilotOptions, run;"
    "from mesh.topology import Service; folder = Path(sys.argv[1]);"
    "run(PilotOptions(folder / 'ads', folder / 'api', folder / 'store',"
    f" services=(Service('upstream', '{_NAMESPACE}'),), ready_fd=int(sys.argv[2])))"
)


@dataclass(frozen=True, slots=True)
class Proxy:
    """A running proxy: where it listens, whose CPU counts, and how it wants to be asked."""

    name: str
    port: int
    pid: int
    authority: str = ""


class Bench:
    """An upstream and a control plane in ``folder``, and the proxies between; all end with the block."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.ports = Ports()
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as stack:
            self._stack = stack
            stack.callback(self.ports.close)
            words = [sys.executable, "-m", "mesh.bench.upstream"]
            upstream = self._start(words, stdout=subprocess.PIPE)
            assert upstream.stdout is not None
            self.upstream_port = int(upstream.stdout.readline().split()[1])
            self.pilot = self._pilot()
            place = ("upstream-0", _NAMESPACE, "upstream", "upstream")
            pod = Pod(*place, {}, "default", "127.0.0.1", {8080: self.upstream_port})
            self.pilot.add_pods([(self._node("target"), pod)])
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def node(self, name: str, *, log: bool = True) -> ProxyNode:
        """Make a proxy known to the control plane, with or without an access log."""
        node = self._node(name)
        node = node if log else replace(node, access_log="")
        self.pilot.add_pods([(node, None)])
        return node

    def in_force(self, nodes: Sequence[ProxyNode]) -> None:
        """Wait until these work by their configuration; RuntimeError when one does not."""
        forced = self.pilot.in_force([each.name for each in nodes], timeout=60)
        if not forced.in_force:
            raise RuntimeError(forced.reason)

    def sidecar(self, node: ProxyNode) -> Proxy:
        """Start the mitmproxy sidecar."""
        words = ["--node-id", node.id, "--ads-socket", str(self.folder / "ads")]
        words += ["--admin-port", str(node.admin_port)]
        process = self._start([sys.executable, "-m", "mesh.sidecar", *words])
        return Proxy("mitmproxy sidecar", node.outbound_port, process.pid, AUTHORITY)

    def envoy(self, node: ProxyNode) -> Proxy:
        """Start Envoy; EnvoyMissingError when it is not installed."""
        binary = find_binary()
        self.ports.release([node.admin_port])  # Envoy's admin does not share its port
        data = bootstrap(node.to_xds().to_dict(), str(self.folder / "ads"), node.admin_port)
        log = self.folder / "envoy.log"
        with log.open("ab") as out:
            process = self._start(command(binary, EnvoyOptions(data, log)), stdout=out, stderr=out)
        return Proxy("Envoy", node.outbound_port, process.pid, AUTHORITY)

    def stock(self) -> Proxy:
        """Start mitmdump as it comes, before the upstream."""
        (port,) = free_ports(1)
        process = self._start(mitmdump(port, self.upstream_port))
        return Proxy("stock mitmdump", port, process.pid)

    def _start(self, words: list[str], **options: Any) -> subprocess.Popen[str]:
        process = start(words, **options)
        self._stack.callback(end, process)
        return process

    def _pilot(self) -> PilotClient:
        ready, told = os.pipe()
        self._start([sys.executable, "-c", _PILOT, str(self.folder), str(told)], pass_fds=(told,))
        os.close(told)
        if not os.read(ready, 1):
            raise RuntimeError("the control plane of the benchmark did not start")
        os.close(ready)
        return PilotClient(self.folder / "api")

    def _node(self, name: str) -> ProxyNode:
        outbound, admin = self.ports.take(2)
        return ProxyNode(
            name,
            _NAMESPACE,
            outbound_port=outbound,
            admin_port=admin,
            access_log=str(self.folder / f"{name}.jsonl"),
            services=(Service("upstream", _NAMESPACE).hostname,) if name == "target" else (),
        )


def free_ports(count: int) -> list[int]:
    """Return ports for programs that do not share theirs with whoever reserved them."""
    holder = Ports()
    found = holder.take(count)
    holder.close()
    return found


def mitmdump(port: int, upstream: int) -> list[str]:
    """Return the command of mitmdump as it comes, on ``port``, before the port ``upstream``."""
    program = Path(sys.executable).with_name("mitmdump")
    mode = f"reverse:http://127.0.0.1:{upstream}"
    words = ["-q", "--listen-host", "127.0.0.1", "-p", str(port), "--mode", mode]
    return [sys.executable, str(program), *words]


@contextlib.contextmanager
def proxies(folder: Path) -> Iterator[list[Proxy]]:
    """Start upstream, control plane and proxies in ``folder``; all end with the block."""
    with Bench(folder) as bench:
        nodes = [bench.node("sidecar")]
        found = [bench.stock(), bench.sidecar(nodes[0])]
        with contextlib.suppress(EnvoyMissingError):
            node = bench.node("envoy")
            found.append(bench.envoy(node))
            nodes.append(node)
        bench.in_force(nodes)
        yield found


def load(proxy: Proxy, requests: int, path: str = "/", upload: int = -1) -> dict[str, float]:
    """Send ``requests`` through ``proxy``; adds ``cpu_ms`` a request and ``pss_mb`` to the load's figures."""
    before = cpu_seconds(proxy.pid)
    figures = send(proxy.port, requests, path, proxy.authority, upload)
    figures["cpu_ms"] = (cpu_seconds(proxy.pid) - before) * 1000 / figures["requests"]
    figures["pss_mb"] = pss_bytes(proxy.pid) / 1e6
    return figures
