"""One hop, three proxies: stock mitmdump, the mitmproxy sidecar, and Envoy on the same xDS.

All three take the same requests over keep-alive connections and send them to the same upstream.
Sidecar and Envoy get their configuration from one control plane, with the access log on; stock
mitmdump runs as ``mitmdump -q`` in reverse mode, which neither routes nor logs.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mesh.bench.process import cpu_seconds, end, pss_bytes
from mesh.envoy.bootstrap import bootstrap
from mesh.envoy.supervisor import EnvoyMissingError, EnvoyOptions, command, find_binary
from mesh.pilot.client import PilotClient
from mesh.pilot.node import ProxyNode
from mesh.testbed.ports import Ports
from mesh.topology import Pod, Service

CONNECTIONS = 8
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


@contextlib.contextmanager
def proxies(folder: Path) -> Iterator[list[Proxy]]:
    """Start upstream, control plane and proxies in ``folder``; all end with the block."""
    with contextlib.ExitStack() as stack:
        ports = Ports()
        stack.callback(ports.close)

        def start(arguments: list[str], **options: Any) -> subprocess.Popen[str]:
            process = subprocess.Popen(
                arguments, text=True, stdin=subprocess.DEVNULL, env=_environment(), **options
            )
            stack.callback(end, process)
            return process

        upstream = start([sys.executable, "-m", "mesh.bench.upstream"], stdout=subprocess.PIPE)
        assert upstream.stdout is not None
        upstream_port = int(upstream.stdout.readline().split()[1])
        pilot = _pilot(start, folder)
        nodes = [_node(name, folder, ports) for name in ("sidecar", "envoy")]
        target = Pod(
            "upstream-0", _NAMESPACE, "upstream", "upstream", {}, "default", "127.0.0.1",
            {8080: upstream_port},
        )  # fmt: skip
        pilot.add_pods(
            [*((node, None) for node in nodes), (_node("target", folder, ports), target)]
        )
        found = [_stock(start, upstream_port), _sidecar(start, nodes[0], folder)]
        wanted = [nodes[0].name]
        with contextlib.suppress(EnvoyMissingError):
            found.append(_envoy(start, nodes[1], folder, ports))
            wanted.append(nodes[1].name)
        forced = pilot.in_force(wanted, timeout=30)
        if not forced.in_force:
            raise RuntimeError(forced.reason)
        yield found


def load(proxy: Proxy, requests: int, path: str = "/") -> dict[str, float]:
    """Send ``requests`` through ``proxy``; adds ``cpu_ms`` a request and ``pss_mb`` to the load's figures."""
    before = cpu_seconds(proxy.pid)
    arguments = [str(proxy.port), str(CONNECTIONS), str(requests), path, proxy.authority]
    done = subprocess.run(
        [sys.executable, "-m", "mesh.bench.load", *arguments],
        check=True,
        capture_output=True,
        text=True,
        env=_environment(),
    )
    figures: dict[str, float] = json.loads(done.stdout)
    figures["cpu_ms"] = (cpu_seconds(proxy.pid) - before) * 1000 / figures["requests"]
    figures["pss_mb"] = pss_bytes(proxy.pid) / 1e6
    figures["rps"] = figures["requests"] / figures["seconds"]
    return figures


def _environment() -> dict[str, str]:
    return {key: value for key, value in os.environ.items() if not key.lower().endswith("_proxy")}


def _pilot(start: Any, folder: Path) -> PilotClient:
    ready, told = os.pipe()
    start([sys.executable, "-c", _PILOT, str(folder), str(told)], pass_fds=(told,))
    os.close(told)
    if not os.read(ready, 1):
        raise RuntimeError("the control plane of the benchmark did not start")
    os.close(ready)
    return PilotClient(folder / "api")


def _node(name: str, folder: Path, ports: Ports) -> ProxyNode:
    outbound, admin = ports.take(2)
    log = str(folder / f"{name}.jsonl")
    return ProxyNode(
        name, _NAMESPACE, outbound_port=outbound, admin_port=admin, access_log=log,
        services=(Service("upstream", _NAMESPACE).hostname,) if name == "target" else (),
    )  # fmt: skip


def _stock(start: Any, upstream_port: int) -> Proxy:
    holder = Ports()
    (port,) = holder.take(1)
    holder.close()
    mitmdump = Path(sys.executable).with_name("mitmdump")
    mode = f"reverse:http://127.0.0.1:{upstream_port}"
    process = start(
        [
            sys.executable,
            str(mitmdump),
            "-q",
            "--listen-host",
            "127.0.0.1",
            "-p",
            str(port),
            "--mode",
            mode,
        ]
    )
    return Proxy("stock mitmdump", port, process.pid)


def _sidecar(start: Any, node: ProxyNode, folder: Path) -> Proxy:
    arguments = ["--node-id", node.id, "--ads-socket", str(folder / "ads")]
    process = start(
        [sys.executable, "-m", "mesh.sidecar", *arguments, "--admin-port", str(node.admin_port)]
    )
    return Proxy("mitmproxy sidecar", node.outbound_port, process.pid, AUTHORITY)


def _envoy(start: Any, node: ProxyNode, folder: Path, ports: Ports) -> Proxy:
    ports.release([node.admin_port])  # Envoy's admin does not share its port
    data = bootstrap(node.to_xds().to_dict(), str(folder / "ads"), node.admin_port)
    log = folder / "envoy.log"
    with log.open("ab") as out:
        process = start(command(find_binary(), EnvoyOptions(data, log)), stdout=out, stderr=out)
    return Proxy("Envoy", node.outbound_port, process.pid, AUTHORITY)
