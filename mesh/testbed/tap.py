"""Tap: what goes over the wire to a pod, byte by byte, as ``tcpdump`` in the pod would show it.

The wire is the one between two sidecars, where mutual TLS works: between an application and its own
sidecar everything is plain.  Locally a pod has no interface to listen at, so a relay takes its place:
the control plane sends clients to the relay, which passes every byte on and notes it.  The TLS is
still between the two sidecars; the relay has no key, as nobody on the wire has.
Another runtime gives the same chunks from the pod's interface: whoever shows them sees a ``Wire``.
"""

from __future__ import annotations

import contextlib
import itertools
import queue
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass
from threading import Thread
from typing import Protocol

from mesh.pilot.client import PilotClient, PilotError
from mesh.testbed.client import TestbedError
from mesh.topology import Pod

_CHUNK = 65536


@dataclass(frozen=True, slots=True)
class Chunk:
    """Bytes of one connection (numbered from 1) in one direction; ``b""``: that side has ended.

    ``port`` is the service's, ``time`` seconds since 1970.
    """

    connection: int
    port: int
    to_pod: bool
    data: bytes
    time: float


class Wire(Protocol):
    """Where chunks come from."""

    def next(self, timeout: float | None = None) -> Chunk | None:
        """Return the next chunk; None when ``timeout`` seconds went by without one."""


class Relay:
    """Listens on a port of 127.0.0.1 for each of ``targets`` (service port -> address, port)."""

    def __init__(self, targets: dict[int, tuple[str, int]]) -> None:
        self._targets = targets
        self._chunks: queue.SimpleQueue[Chunk] = queue.SimpleQueue()
        self._numbers = itertools.count(1)
        self._doors: dict[int, socket.socket] = {}
        self._open: set[socket.socket] = set()

    def start(self) -> dict[int, int]:
        """Listen; returns service port -> port of this relay."""
        for number in self._targets:
            door = self._doors[number] = socket.create_server(("127.0.0.1", 0))
            Thread(target=self._accept, args=(number, door), daemon=True).start()
        return {number: door.getsockname()[1] for number, door in self._doors.items()}

    def next(self, timeout: float | None = None) -> Chunk | None:
        """Return the next chunk; None when ``timeout`` seconds went by without one."""
        with contextlib.suppress(queue.Empty):
            return self._chunks.get(timeout=timeout)
        return None

    def stop(self) -> None:
        """Close everything."""
        for each in (*self._doors.values(), *list(self._open)):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()

    def _accept(self, number: int, door: socket.socket) -> None:
        while True:
            try:
                client, _ = door.accept()
            except OSError:
                return
            connection = next(self._numbers)
            try:
                pod = socket.create_connection(self._targets[number])
            except OSError:
                client.close()
                continue
            self._open.update((client, pod))
            for source, target, to_pod in ((client, pod, True), (pod, client, False)):
                place = (connection, number, to_pod)
                Thread(target=self._pass, args=(source, target, place), daemon=True).start()

    def _pass(
        self, source: socket.socket, target: socket.socket, place: tuple[int, int, bool]
    ) -> None:
        """Pass bytes on; what is noted is noted before it can be answered."""
        with contextlib.suppress(OSError):
            while data := source.recv(_CHUNK):
                self._chunks.put(Chunk(*place, data, time.time()))
                target.sendall(data)
        self._chunks.put(Chunk(*place, b"", time.time()))
        with contextlib.suppress(OSError):
            target.shutdown(socket.SHUT_WR)


@contextlib.contextmanager
def relayed(pod: Pod, pilot: PilotClient) -> Iterator[Wire]:
    """Stand for a pod of this machine while the block runs; TestbedError when that is refused."""
    relay = Relay({number: (pod.address, port) for number, port in pod.ports.items()})
    ports = relay.start()
    try:
        try:
            with pilot.tap(pod.name, pod.namespace, ports):
                yield relay
        except PilotError as problem:
            raise TestbedError(str(problem)) from None
        # The way past the relay is in force before it goes.
        pilot.in_force()
    finally:
        relay.stop()


def chunks(wire: Wire) -> Iterator[Chunk]:
    """Yield chunks without end."""
    while (chunk := wire.next()) is not None:
        yield chunk
