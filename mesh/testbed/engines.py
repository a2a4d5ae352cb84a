"""The two data planes as processes of a testbed: ``mitmproxy``, the readable one, and ``envoy``."""

from __future__ import annotations

import socket
from pathlib import Path

from mesh.agent.agent import AgentOptions
from mesh.pilot.node import ProxyNode
from mesh.testbed.base import Engine
from mesh.testbed.child import ChildSpec
from mesh.testbed.client import TestbedError
from mesh.testbed.plain import to_plain

REUSE_PORT = {
    "level": socket.SOL_SOCKET,
    "name": getattr(socket, "SO_REUSEPORT", socket.SO_REUSEADDR),
    "int_value": 1,
    "state": "STATE_PREBIND",
}
"""Envoy sets it for listeners by itself, for its admin port only when told: the port is held."""


class MitmproxyEngine:
    """Sidecars built on mitmproxy (``mesh.sidecar``)."""

    name = "mitmproxy"
    mtls = True

    def check(self) -> None:
        """Do nothing: it runs wherever the kit runs."""

    def modules(self) -> list[str]:
        """Return the module with mitmproxy behind it."""
        return ["mesh.sidecar.main"]

    def spec(
        self, node: ProxyNode, ads_socket: Path, folder: Path, agent: AgentOptions | None
    ) -> ChildSpec:
        """Return the sidecar process of ``node``."""
        return ChildSpec(
            name=f"sidecar {node.pod}",
            module="mesh.sidecar.main",
            function="run",
            options_type="SidecarOptions",
            options={
                "node_id": node.id,
                "cluster": node.to_xds().cluster,
                "ads_socket": str(ads_socket),
                "admin_port": node.admin_port,
                "admin_socket": node.admin_socket,
                "agent": to_plain(agent),
            },
            log=str(folder / "sidecar.log"),
        )


class EnvoyEngine:
    """The real Envoy, below a supervisor that ends it with the mesh (``mesh.envoy``)."""

    name = "envoy"
    mtls = True

    def check(self) -> None:
        """Raise TestbedError where there is no Envoy for this machine."""
        from mesh.envoy.supervisor import EnvoyMissingError, find_binary

        try:
            find_binary()
        except EnvoyMissingError as problem:
            raise TestbedError(str(problem)) from None

    def modules(self) -> list[str]:
        """Return the supervisor's module."""
        return ["mesh.envoy.supervisor", "mesh.agent.fresh"]

    def spec(
        self, node: ProxyNode, ads_socket: Path, folder: Path, agent: AgentOptions | None
    ) -> ChildSpec:
        """Return the supervisor process of ``node``'s Envoy; Envoy's id is its sign of life."""
        from mesh.envoy.bootstrap import bootstrap

        config = bootstrap(node.to_xds().to_dict(), str(ads_socket), node.admin)
        if not node.admin_socket:
            config["admin"]["socket_options"] = [REUSE_PORT]
        return ChildSpec(
            name=f"sidecar {node.pod}",
            module="mesh.envoy.supervisor",
            function="run",
            options_type="EnvoyOptions",
            options={
                "bootstrap": config,
                "log_path": str(folder / "sidecar.log"),
                "admin_port": node.admin_port,
                "agent": to_plain(agent),
            },
            log=str(folder / "sidecar.log"),
            ready_option="pid_fd",
        )


def engine(name: str) -> Engine:
    """Return the engine of that name; TestbedError when there is none."""
    engines: dict[str, Engine] = {each.name: each for each in (MitmproxyEngine(), EnvoyEngine())}
    if name not in engines:
        raise TestbedError(f"there is no engine {name!r}; there are {', '.join(engines)}")
    return engines[name]
