"""HealthChecker: asks the endpoints of one cluster whether they are well, again and again.

In a mesh ``health_checks`` of Envoy's cluster (an EnvoyFilter merges them in).  Each client's
sidecar asks for itself, on connections of its own, with the transport socket of the endpoint (so
with mutual TLS where its requests have it).  A cluster comes into force when every endpoint has
been asked once.  ``health`` has the decisions.
See it with ``curl ADMIN/stats?filter=health_check`` and ``curl ADMIN/clusters?format=json``.

Source: Envoy ``source/common/upstream/health_checker_impl.cc``,
``source/extensions/health_checkers/{http,tcp}/health_checker_impl.cc``.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from random import Random

from mesh.sidecar.tls.context import TlsContext
from mesh.sidecar.upstream.circuit_breaker import Resource
from mesh.sidecar.upstream.health import Check, HealthCheckConfig, HealthState
from mesh.sidecar.upstream.host import Host
from mesh.sidecar.upstream.http2_pool import Http2Pool
from mesh.sidecar.upstream.message import UpstreamRequest
from mesh.sidecar.upstream.pool import HostPool, PoolSettings
from mesh.sidecar.upstream.raw import RawUpstream
from mesh.sidecar.upstream.resets import UpstreamResetError

USER_AGENT = b"Envoy/HC"
_UNLIMITED = 2**32 - 1


class HealthChecker:
    """The checks of one cluster: ``update`` names its hosts, between ``begin`` and ``stop`` it asks.

    ``on_checked(host, changed)`` is called after each check; ``had_traffic`` tells whether the
    cluster has ever opened a connection for a request.  ``counters`` has Envoy's
    ``health_check.*`` (``healthy`` is a gauge).
    """

    def __init__(
        self,
        config: HealthCheckConfig,
        cluster: str,
        rng: Random,
        tls_of: Callable[[Host], TlsContext | None],
        had_traffic: Callable[[], bool],
        on_checked: Callable[[Host, bool], None],
    ) -> None:
        self.config = config
        self.counters: Counter[str] = Counter()
        self._cluster = cluster
        self._rng = rng
        self._tls_of = tls_of
        self._had_traffic = had_traffic
        self._on_checked = on_checked
        self._begun = False
        self._states: dict[Host, HealthState] = {}
        self._unasked: set[Host] = set()
        self._tasks: dict[Host, asyncio.Task[None]] = {}

    @property
    def warm(self) -> bool:
        """Whether every host has been asked once."""
        return not self._unasked

    def update(self, hosts: Sequence[Host]) -> None:
        """Take a new set of hosts: new ones are out until their first success."""
        for host in [each for each in self._states if each not in hosts]:
            del self._states[host]
            if self._begun:
                self._tasks.pop(host).cancel()
            self._unasked.discard(host)
            if not host.check_failed:
                self.counters["healthy"] -= 1
        for host in hosts:
            if host not in self._states:
                self._unasked.add(host)
                state = self._states[host] = HealthState(self.config, host)
                if self._begun:
                    self._watch(state)

    def begin(self) -> None:
        """Start to ask."""
        if not self._begun:
            self._begun = True
            for state in self._states.values():
                self._watch(state)

    def _watch(self, state: HealthState) -> None:
        self._tasks[state.host] = asyncio.get_running_loop().create_task(self._run(state))

    def stop(self) -> None:
        """Ask nobody any more."""
        for task in self._tasks.values():
            task.cancel()
        self._tasks.clear()

    async def _run(self, state: HealthState) -> None:
        """Ask one host at each interval."""
        host = state.host
        client = _Client(self.config, self._cluster, host, self._tls_of)
        try:
            if self.config.initial_jitter:
                await asyncio.sleep(self._rng.random() * self.config.initial_jitter)
            while True:
                check = await client.ask()
                self._count(check)
                changed = state.on_check(check)
                if changed:
                    self.counters["healthy"] += -1 if host.check_failed else 1
                self._unasked.discard(host)
                self._on_checked(host, changed)
                success = check is Check.SUCCESS
                await asyncio.sleep(
                    state.next_interval(self._rng, success, had_traffic=self._had_traffic())
                )
        finally:
            client.close()

    def _count(self, check: Check) -> None:
        self.counters["attempt"] += 1
        self.counters["success" if check is Check.SUCCESS else "failure"] += 1
        if check is Check.NETWORK:
            self.counters["network_failure"] += 1


class _Client:
    """Asks one host, on a connection that is kept (``reuse_connection``)."""

    def __init__(
        self,
        config: HealthCheckConfig,
        cluster: str,
        host: Host,
        tls_of: Callable[[Host], TlsContext | None],
    ) -> None:
        self._config = config
        self._host = host
        self._tls_of = tls_of
        self._settings = PoolSettings(config.timeout, idle_timeout=0.0)
        self._limit = Resource("health checks", _UNLIMITED)
        self._authority = (config.host or host.hostname or cluster).encode()
        self._tls = tls_of(host)
        self._pool = self._make_pool()

    def _make_pool(self) -> HostPool | Http2Pool:
        kind = Http2Pool if self._config.http2 else HostPool
        host = self._host
        return kind(host.pipe or host.address, host.port, self._settings, self._tls)

    async def ask(self) -> Check:
        """Make one check; a timeout, a refused or a broken connection is ``NETWORK``."""
        tls = self._tls_of(self._host)
        if tls is not self._tls:  # the endpoint has a sidecar now, or has none any more
            self.close()
            self._tls, self._pool = tls, self._make_pool()
        try:
            async with asyncio.timeout(self._config.timeout):
                return await (self._http() if self._config.path else self._tcp())
        except (TimeoutError, UpstreamResetError):
            return Check.NETWORK

    async def _http(self) -> Check:
        config = self._config
        request = UpstreamRequest(
            config.method,
            b"http" if self._tls is None else b"https",
            self._authority,
            config.path.encode(),
            [(b"user-agent", USER_AGENT), *config.headers],
        )
        connection = self._pool.take() or await self._pool.acquire(self._limit)
        answered = False
        try:
            response = await connection.send(request)
            if response.stream is not None:
                async for _ in response.stream:
                    pass
            answered = True
        finally:
            if not answered:
                connection.abort()
        if not config.reuse_connection:
            self._pool.drain()
        return config.outcome(response.status)

    async def _tcp(self) -> Check:
        """Connect; with ``receive`` every one of its texts has to come, in order."""
        assert isinstance(self._pool, HostPool)
        connection = await self._pool.connect(RawUpstream)
        try:
            if self._config.send:
                connection.transport.write(self._config.send)
            if self._config.receive:
                return await _received(connection, self._config.receive)
            return Check.SUCCESS
        finally:
            connection.abort()

    def close(self) -> None:
        """Close the connection."""
        self._pool.abort()


async def _received(connection: RawUpstream, wanted: Sequence[bytes]) -> Check:
    """Wait until ``wanted`` has come; the end of the connection before that is a failure."""
    got = bytearray()
    done: asyncio.Future[Check] = asyncio.get_running_loop().create_future()

    def receive(data: bytes) -> None:
        got.extend(data)
        if not done.done() and (not data or contains(bytes(got), wanted)):
            done.set_result(Check.SUCCESS if data else Check.NETWORK)

    connection.tunnel(receive)
    return await done


def contains(data: bytes, wanted: Sequence[bytes]) -> bool:
    """Whether every one of ``wanted`` is in ``data``, one behind the other."""
    place = 0
    for text in wanted:
        found = data.find(text, place)
        if found < 0:
            return False
        place = found + len(text)
    return True
