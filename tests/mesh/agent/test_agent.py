"""A sidecar's agent against the control plane's own HTTP API."""

from __future__ import annotations

import asyncio
import contextlib
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

import pytest
from cryptography import x509
from tornado.httpserver import HTTPServer
from tornado.netutil import bind_unix_socket

from mesh.agent import sds
from mesh.agent.agent import BOOTSTRAP_FILE, Agent, AgentError, AgentOptions
from mesh.agent.fresh import Watch, keep_fresh
from mesh.citadel.citadel import Citadel
from mesh.istio import era
from mesh.pilot.control_plane import ControlPlane
from mesh.pilot.node import ProxyNode
from mesh.pilot.server import application
from mesh.pilot.store import Store

NODE = ProxyNode("customer-0", "tutorial", service_account="customer")


@dataclass
class Plane:
    """A control plane in a thread of its own, and the folder of one pod."""

    loop: asyncio.AbstractEventLoop
    plane: ControlPlane
    options: AgentOptions

    @property
    def citadel(self) -> Citadel:
        assert self.plane.citadel is not None
        return self.plane.citadel

    def do(self, coroutine: object) -> None:
        asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(20)  # type: ignore[arg-type]


@pytest.fixture
def plane() -> Iterator[Plane]:
    with TemporaryDirectory(prefix="mlagent", dir="/tmp") as text:
        folder = Path(text)
        loop = asyncio.new_event_loop()
        stop, ready = asyncio.Event(), threading.Event()
        made: list[ControlPlane] = []

        async def serve() -> None:
            plane = ControlPlane(Store(folder / "store"), era("istio-current"))
            plane.citadel = Citadel(folder / "citadel", plane.spiffe_id)
            tokens = plane.add_pods([(NODE, None)])
            (folder / "pod").mkdir()
            (folder / "pod" / BOOTSTRAP_FILE).write_text(tokens[NODE.id])
            api = HTTPServer(application(plane))
            api.add_sockets([bind_unix_socket(str(folder / "api"))])
            made.append(plane)
            ready.set()
            await stop.wait()
            api.stop()
            await api.close_all_connections()

        thread = threading.Thread(target=loop.run_until_complete, args=(serve(),))
        thread.start()
        ready.wait()
        options = AgentOptions(NODE.id, folder / "pod", folder / "api", NODE.spiffe_id)
        yield Plane(loop, made[0], options)
        loop.call_soon_threadsafe(stop.set)
        thread.join()
        loop.close()


def serial(plane: Plane) -> int:
    chain, _ = sds.read_certificate(plane.options.folder / sds.FOLDER)
    return x509.load_pem_x509_certificate(chain.encode()).serial_number


def test_the_first_certificate_by_token_the_next_by_certificate(plane: Plane) -> None:
    agent = Agent(plane.options, Random(1), clock=lambda: 1000.0)
    agent.renew()
    first = serial(plane)
    folder = plane.options.folder / sds.FOLDER
    chain, key = sds.read_certificate(folder)
    names = (
        x509.load_pem_x509_certificate(chain.encode())
        .extensions.get_extension_for_class(x509.SubjectAlternativeName)
        .value.get_values_for_type(x509.UniformResourceIdentifier)
    )
    assert names == ["spiffe://cluster.local/ns/tutorial/sa/customer"]
    assert "PRIVATE KEY" in key
    assert sds.read_roots(folder) == plane.citadel.roots
    assert not (plane.options.folder / BOOTSTRAP_FILE).exists()
    assert 0.49 * 86400 <= agent.due - 1000 <= 0.51 * 86400
    agent.renew()
    assert serial(plane) != first
    for file in folder.iterdir():
        assert file.stat().st_mode & 0o777 == 0o600


def test_only_the_request_leaves_the_pod(plane: Plane) -> None:
    agent = Agent(plane.options)
    agent.renew()
    _, key = sds.read_certificate(plane.options.folder / sds.FOLDER)
    sent = json.dumps(agent.request(agent._key))  # type: ignore[arg-type]
    assert "PRIVATE KEY" not in sent
    assert key.splitlines()[1] not in sent


def test_without_a_certificate_to_be_had_it_says_why(plane: Plane) -> None:
    (plane.options.folder / BOOTSTRAP_FILE).write_text("forged.token")
    with pytest.raises(AgentError, match="not issued by this control plane"):
        Agent(plane.options).renew()
    (plane.options.folder / BOOTSTRAP_FILE).unlink()
    with pytest.raises(AgentError, match="no bootstrap token"):
        Agent(plane.options).renew()


def test_failures_are_tried_again_at_growing_distances(plane: Plane) -> None:
    gone = AgentOptions(NODE.id, plane.options.folder, Path("/nowhere"), NODE.spiffe_id)
    agent = Agent(gone, Random(1), clock=lambda: 0.0)
    waits = []
    for _ in range(12):
        assert not agent.try_renew()
        waits.append(agent.due)
    assert waits[0] <= 0.5
    assert max(waits) <= 30
    assert waits[6] > waits[0]


def test_it_renews_when_told_and_in_a_loop_of_select(plane: Plane) -> None:
    agent = Agent(plane.options)
    agent.renew()
    watch = Watch(agent)
    watch.ask()
    assert watch.sock is not None
    assert watch.timeout() > 80
    asyncio.run_coroutine_threadsafe(plane.citadel.renew_all(), plane.loop)
    assert watch.heard()
    agent.renew()
    assert agent.generation == 2
    watch.ask()
    watch.close()


def test_a_rotation_of_the_root_reaches_a_running_agent(plane: Plane) -> None:
    async def main() -> None:
        agent = Agent(plane.options)
        agent.renew()
        first = sds.read_roots(plane.options.folder / sds.FOLDER)
        task = asyncio.create_task(keep_fresh(agent))
        await asyncio.to_thread(wait_until_watched, plane)
        await asyncio.to_thread(plane.do, plane.citadel.rotate())
        roots = sds.read_roots(plane.options.folder / sds.FOLDER)
        assert roots.startswith(first)
        assert roots == plane.citadel.roots
        await asyncio.to_thread(plane.do, plane.citadel.finish())
        assert first not in sds.read_roots(plane.options.folder / sds.FOLDER)
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task

    asyncio.run(main())


def wait_until_watched(plane: Plane) -> None:
    async def watched() -> None:
        while NODE.id not in plane.citadel.installed:
            await asyncio.sleep(0)

    plane.do(watched())


def test_a_lost_control_plane_is_asked_again_later() -> None:
    now = [0.0]
    options = AgentOptions("a", Path("/nowhere"), Path("/nowhere/api"), "spiffe://x")
    agent = Agent(options, clock=lambda: now[0], due=100.0)
    watch = Watch(agent)
    watch.ask()
    assert watch.sock is None
    assert watch.timeout() == 0.5
    now[0] = 0.5
    watch.ask()
    assert watch.timeout() == 1.0
