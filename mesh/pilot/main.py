"""The control plane as a process: ADS and the HTTP API on two Unix sockets, until it is told to end.

It is forked from a preloaded process, so importing this module starts no thread, loop or server.
"""

from __future__ import annotations

import asyncio
import os
import ssl
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

from grpclib.server import Server
from tornado.httpserver import HTTPServer
from tornado.netutil import bind_unix_socket

from mesh.citadel.citadel import LIFETIME, Citadel
from mesh.istio import era, extension_providers
from mesh.pilot.control_plane import ControlPlane
from mesh.pilot.encode import EncodingCodec
from mesh.pilot.server import MAX_BODY, application
from mesh.pilot.store import Store
from mesh.pilot.translate.view import LOCAL, MixerSettings, OutboundPolicy
from mesh.topology import Service
from services.lifeline import ends

_LONGEST_PATH = 100


BACKLOG = 1024
"""Sidecars that may connect at the same moment; asyncio's 100 turn the others away."""


@dataclass(frozen=True, slots=True)
class PilotOptions:
    """How to run.

    ``ads_socket`` and ``api_socket`` are Unix socket paths (under 100 characters), their folders are
    made with mode 0700; ``store`` is the folder of applied resources; ``ready_fd`` gets one byte
    when both listen; the process ends when ``lifeline_fd`` (read end of a pipe) is closed by the
    other side, or at SIGTERM.  -1 means none.  ``deadline``: seconds for a change to be in force.
    ``citadel`` is the folder of the certificate authority, None for none; ``certificate_seconds``
    the lifetime of the certificates of workloads, 0 for Istio's (24 hours).  ``mixer_socket`` is where
    Mixer listens, ``""`` for none; ``sampling`` the share of requests that are traced, in percent.
    ``extension_providers`` are meshConfig's, as the topology states them.
    ``system_roots``: file with the authorities outside of the mesh, ``""`` for the machine's own.
    ``socket_mode``: who may use the sockets, beside what their folder says.
    """

    ads_socket: Path
    api_socket: Path
    store: Path
    services: tuple[Service, ...] = ()
    era: str = "istio-current"
    namespace: str = "default"
    outbound_policy: OutboundPolicy | None = None
    world: dict[str, tuple[str, int]] = field(default_factory=dict)
    system_roots: str = ""
    l5d_dtab: bool = False
    extension_providers: tuple[dict[str, object], ...] = ()
    runtime: str = LOCAL
    deadline: float = 10.0
    citadel: Path | None = None
    certificate_seconds: float = 0.0
    mixer_socket: str = ""
    sampling: float = 100.0
    socket_mode: int = 0o600
    ready_fd: int = -1
    lifeline_fd: int = -1


def run(options: PilotOptions) -> None:
    """Serve until SIGTERM or until the lifeline closes; ValueError for a bad option."""
    asyncio.run(_serve(options))


async def _serve(options: PilotOptions) -> None:
    for path in (options.ads_socket, options.api_socket):
        _prepare(path)
    plane = ControlPlane(
        Store(options.store),
        era(options.era),
        options.namespace,
        options.outbound_policy,
        dict(options.world),
        options.deadline,
        mixer_settings=MixerSettings(options.mixer_socket, options.sampling),
    )
    if options.citadel is not None:
        seconds = options.certificate_seconds
        lifetime = timedelta(seconds=seconds) if seconds else LIFETIME
        plane.citadel = Citadel(options.citadel, plane.spiffe_id, lifetime)
    machine = ssl.get_default_verify_paths().cafile
    plane.system_roots = options.system_roots or machine or plane.system_roots
    plane.l5d_dtab, plane.runtime = options.l5d_dtab, options.runtime
    plane.providers = extension_providers.read(list(options.extension_providers), "topology")
    for service in options.services:
        plane.registry.add_service(service)
    plane.push()
    end = asyncio.Event()
    ends(options.lifeline_fd, end)
    ads = Server([plane.ads], codec=EncodingCodec())
    await ads.start(path=str(options.ads_socket), backlog=BACKLOG)
    options.ads_socket.chmod(options.socket_mode)
    api = HTTPServer(application(plane), max_body_size=MAX_BODY)
    api.add_sockets([bind_unix_socket(str(options.api_socket), mode=options.socket_mode)])
    if options.ready_fd >= 0:
        os.write(options.ready_fd, b"1")
        os.close(options.ready_fd)
    try:
        await end.wait()
    finally:
        api.stop()
        await api.close_all_connections()
        ads.close()
        await ads.wait_closed()
        for path in (options.ads_socket, options.api_socket):
            path.unlink(missing_ok=True)


def _prepare(path: Path) -> None:
    """Make the socket's private folder, and take away what a killed pilot left there."""
    if len(os.fsencode(path)) >= _LONGEST_PATH:
        raise ValueError(f"{path} is too long for a Unix socket: use a folder with a shorter name")
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
