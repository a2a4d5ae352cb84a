"""Sniffer: what ``tcpdump`` in a pod sees of the connections to it, put together again.

It runs in a container of its own in the pod's network, as root with NET_RAW and nothing else, and
reads the packets at the interface.  Segments that come again or too early are put in order, as the
receiver's kernel does it; of a connection that was open before, what comes first is its beginning.  Each piece is one line of JSON (``mesh.testbed.tap.Chunk``).

Run as ``python -m mesh.testbed.compose.sniffer ADDRESS PORT...``; the first line says ``ready``.
"""

from __future__ import annotations

import base64
import json
import socket
import struct
import sys
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, field

_ETH_P_ALL, _TCP = 0x0003, 6
_ETH_P_IP = 0x0800
_FIN, _SYN, _RST, _ACK = 0x01, 0x02, 0x04, 0x10
_WRAP = 1 << 32
_HALF = 1 << 31

Emit = Callable[[int, int, bool, bytes], None]
"""(connection, port, to the pod, bytes; none at the end of a direction)."""


@dataclass(frozen=True, slots=True)
class Segment:
    """One TCP segment: ``sequence`` of its first byte, ``flags`` of the header."""

    source: tuple[str, int]
    target: tuple[str, int]
    sequence: int
    flags: int
    data: bytes


def parse(packet: bytes) -> Segment | None:
    """Read an IPv4 packet; None for what is no TCP."""
    if len(packet) < 40 or packet[0] >> 4 != 4 or packet[9] != _TCP:
        return None
    header = (packet[0] & 15) * 4
    length = struct.unpack_from("!H", packet, 2)[0] or len(packet)
    ports = struct.unpack_from("!HH", packet, header)
    (sequence,) = struct.unpack_from("!I", packet, header + 4)
    start = header + (packet[header + 12] >> 4) * 4
    return Segment(
        (socket.inet_ntoa(packet[12:16]), ports[0]),
        (socket.inet_ntoa(packet[16:20]), ports[1]),
        sequence,
        packet[header + 13],
        packet[start:length],
    )


@dataclass(slots=True)
class Direction:
    """One direction of a connection: the sequence number that comes next, and what came too early."""

    expected: int = -1
    early: dict[int, tuple[bytes, bool]] = field(default_factory=dict)
    ended: bool = False

    def take(self, segment: Segment) -> list[bytes]:
        """Return what can be passed on now, in order; ``b""`` at the end."""
        if segment.flags & _SYN:
            self.expected = (segment.sequence + 1) % _WRAP
            return []
        if self.expected < 0 and segment.data:
            self.expected = segment.sequence  # it was open before we came
        if self.expected < 0 or self.ended:
            return []
        if segment.data or segment.flags & _FIN:
            self.early[segment.sequence] = (segment.data, bool(segment.flags & _FIN))
        found: list[bytes] = []
        while not self.ended:
            place = next((each for each in self.early if self._due(each)), None)
            if place is None:
                break
            data, last = self.early.pop(place)
            known = (self.expected - place) % _WRAP
            if data[known:]:
                found.append(data[known:])
                self.expected = (place + len(data)) % _WRAP
            if last:
                found.append(b"")
                self.ended = True
        return found

    def _due(self, place: int) -> bool:
        """Whether a segment begins at what comes next, or before it."""
        return (self.expected - place) % _WRAP < _HALF


class Streams:
    """The connections to ``address`` at ``ports``; ``emit`` gets each piece in order."""

    def __init__(self, address: str, ports: Collection[int], emit: Emit) -> None:
        self._address, self._ports, self._emit = address, frozenset(ports), emit
        self._known: dict[tuple[str, int, int], tuple[int, Direction, Direction]] = {}
        self._count = 0

    def take(self, segment: Segment) -> None:
        """Take a segment off the wire."""
        to_pod = segment.target[0] == self._address and segment.target[1] in self._ports
        if not to_pod and not (
            segment.source[0] == self._address and segment.source[1] in self._ports
        ):
            return
        other, port = (
            (segment.source, segment.target[1]) if to_pod else (segment.target, segment.source[1])
        )
        key = (*other, port)
        if to_pod and segment.flags & _SYN and not segment.flags & _ACK:
            again = self._known.get(key)
            if again is None or again[1].expected != (segment.sequence + 1) % _WRAP:
                self._count += 1
                self._known[key] = (self._count, Direction(), Direction())
        if key not in self._known:
            if not segment.data:
                return
            self._count += 1
            self._known[key] = (self._count, Direction(), Direction())
        number, there, back = self._known[key]
        for piece in (there if to_pod else back).take(segment):
            self._emit(number, port, to_pod, piece)
        if segment.flags & _RST or (there.ended and back.ended):
            del self._known[key]


def main(address: str, *ports: str) -> None:
    """Read packets until killed."""

    def emit(connection: int, port: int, to_pod: bool, data: bytes) -> None:
        text = base64.b64encode(data).decode()
        print(json.dumps([connection, port, to_pod, text, time.time()]), flush=True)

    streams = Streams(address, [int(each) for each in ports], emit)
    with socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(_ETH_P_ALL)) as sock:
        print("ready", flush=True)
        while True:
            packet, place = sock.recvfrom(1 << 17)
            if place[1] == _ETH_P_IP and place[0] != "lo":
                segment = parse(packet)
                if segment is not None:
                    streams.take(segment)


if __name__ == "__main__":
    main(*sys.argv[1:])
