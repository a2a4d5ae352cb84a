"""Run one mitmproxy sidecar: from a fork of the preloaded process, or ``python -m mesh.sidecar``.

Importing this module starts nothing: no thread, no event loop, no random generator, so that a
process that has imported it can be forked.  ``run`` makes them all.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import os
import signal
import sys
from dataclasses import dataclass
from random import Random

from envoy_data_plane.envoy.config.core.v3 import Node

from mesh.agent.agent import Agent, AgentOptions
from mesh.agent.dns import DnsOptions, DnsServer
from mesh.agent.fresh import keep_fresh
from mesh.sidecar.access_log import LogFiles
from mesh.sidecar.admin import Admin
from mesh.sidecar.ads import AdsClient
from mesh.sidecar.config import Config
from mesh.sidecar.filters import FilterContext, default_filters
from mesh.sidecar.flow_dump import FlowDump
from mesh.sidecar.handed_in_filter import HandedInFilter
from mesh.sidecar.listener import ListenerManager
from mesh.sidecar.mitm.master import SidecarMaster
from mesh.sidecar.preload import preload
from mesh.sidecar.stats import Stats
from mesh.sidecar.upstream.cluster_manager import ClusterManager
from mesh.sidecar.zipkin import Reporter

YOUNG_OBJECTS = 20_000
"""The garbage collector looks after so many new objects; what a request makes ends without it."""

# Seconds of CPU that a fork inherits and would otherwise spend itself.
default_filters()
preload()


@dataclass(frozen=True, slots=True)
class SidecarOptions:
    """How to run a sidecar.

    ``ads_socket`` is the control plane's Unix socket.  ``ready_fd`` gets one byte when the admin
    port listens and the first configuration is in force; when ``lifeline_fd`` reaches its end, the
    process that started us is gone, and the sidecar ends at once (-1: none).  ``seed`` makes the
    random decisions repeatable.  ``agent``: whose certificate to fetch and keep fresh; the process then
    works in that pod's folder, where ``sds/`` is.  ``drain_seconds`` bounds the wait for requests at SIGTERM.
    ``filter`` is the command of a handed-in filter.
    ``admin_socket``: a Unix socket that takes the place of the admin port.  ``dns``: where to answer the
    application's look-ups of names, None for nowhere.
    """

    node_id: str
    ads_socket: str
    admin_port: int
    cluster: str = ""
    ready_fd: int = -1
    lifeline_fd: int = -1
    seed: int | None = None
    drain_seconds: float = 5.0
    agent: AgentOptions | None = None
    filter: tuple[str, ...] = ()
    admin_socket: str = ""
    dns: DnsOptions | None = None


def run(options: SidecarOptions) -> None:
    """Run until SIGTERM or SIGINT (served requests are finished first), or a cut lifeline."""
    logging.basicConfig(
        level=logging.WARNING, format=f"%(asctime)s {options.node_id} %(levelname)s %(message)s"
    )
    agent = None
    if options.agent is not None:
        agent = Agent(options.agent)
        os.chdir(options.agent.folder)  # the configuration names its secrets from here
        agent.renew()
    gc.set_threshold(YOUNG_OBJECTS)
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_run(options, agent))


async def _run(options: SidecarOptions, agent: Agent | None) -> None:
    loop = asyncio.get_running_loop()
    rng = Random(options.seed)
    stats, logs = Stats(), LogFiles()
    master = SidecarMaster(loop)
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    if options.lifeline_fd >= 0:
        _watch_lifeline(loop, options.lifeline_fd, logs)
    clusters = ClusterManager(stats, rng, loop.time)
    spans = Reporter(clusters, stats, options.node_id, options.cluster)
    context = FilterContext(clusters, stats, rng, loop.time, spans=spans)
    listeners = ListenerManager(master, context, logs)
    config = Config(clusters, listeners)
    admin = Admin(stats, clusters, config, logs, context.explanations, spans.flush)
    admin.drain_listeners = listeners.drain
    admin.flows = FlowDump(master)
    handed_in = HandedInFilter(options.filter) if options.filter else None
    if handed_in is not None:
        master.addons.add(handed_in)  # type: ignore[no-untyped-call]
        admin.reload_filter = handed_in.reload
    node = Node(id=options.node_id, cluster=options.cluster or options.node_id)
    ads = AdsClient(options.ads_socket, node, config, stats, rng)
    try:
        await admin.start(options.admin_socket or options.admin_port)
    except OSError as error:
        place = options.admin_socket or f"port {options.admin_port}"
        sys.exit(f"sidecar {options.node_id}: cannot listen on the admin {place}: {error}")
    tasks = [
        loop.create_task(master.run()),
        loop.create_task(ads.run()),
        loop.create_task(_tell_ready(config, options.ready_fd)),
        loop.create_task(_flush_now_and_then(logs)),
    ]
    if agent is not None:
        tasks.append(loop.create_task(keep_fresh(agent)))
    if options.dns is not None:
        tasks.append(loop.create_task(DnsServer(options.dns).serve()))
    await stop.wait()
    for task in tasks[1:]:
        task.cancel()
    await _drain(listeners, options.drain_seconds)
    clusters.drain()
    if handed_in is not None:
        await handed_in.close()
    admin.stop()
    master.shutdown()  # type: ignore[no-untyped-call]
    await asyncio.gather(*tasks, return_exceptions=True)
    logs.flush()


def _watch_lifeline(loop: asyncio.AbstractEventLoop, lifeline: int, logs: LogFiles) -> None:
    def look() -> None:
        if not os.read(lifeline, 1024):
            logs.flush()
            os._exit(0)

    loop.add_reader(lifeline, look)


async def _tell_ready(config: Config, ready_fd: int) -> None:
    await config.in_force.wait()
    if ready_fd >= 0:
        with contextlib.suppress(BrokenPipeError):
            os.write(ready_fd, b"1")
        os.close(ready_fd)


async def _flush_now_and_then(logs: LogFiles) -> None:
    """Flush every second, so that whoever follows a log sees it (Envoy: every 10 s)."""
    while True:
        await asyncio.sleep(1)
        logs.flush()


async def _drain(listeners: ListenerManager, seconds: float) -> None:
    busy = await listeners.stop()
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            for connection in busy:
                await connection.closed.wait()
    for connection in busy:
        connection.abort()
