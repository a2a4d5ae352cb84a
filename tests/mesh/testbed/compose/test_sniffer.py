"""Packets become streams again: in order, once, each side for itself."""

import socket
import struct

import pytest

from mesh.testbed.compose.sniffer import Segment, Streams, parse

POD, OTHER = ("10.77.3.10", 8080), ("10.77.3.11", 40000)
SYN, ACK, FIN, RST = 0x02, 0x10, 0x01, 0x04
Piece = tuple[int, int, bool, bytes]


def packet(flags: int, sequence: int, data: bytes = b"", to_pod: bool = True) -> bytes:
    source, target = (OTHER, POD) if to_pod else (POD, OTHER)
    tcp = struct.pack("!HHIIBBHHH", source[1], target[1], sequence, 0, 0x50, flags, 0, 0, 0)
    ends = socket.inet_aton(source[0]) + socket.inet_aton(target[0])
    ip = struct.pack("!BBHHHBBH", 0x45, 0, 40 + len(data), 0, 0, 64, 6, 0) + ends
    return ip + tcp + data + b"\0" * 6  # an Ethernet frame is filled up


def heard(*packets: bytes) -> list[Piece]:
    found: list[Piece] = []
    streams = Streams(POD[0], [POD[1]], lambda *piece: found.append(piece))
    for each in packets:
        segment = parse(each)
        assert segment is not None
        streams.take(segment)
    return found


def test_a_packet_is_read() -> None:
    assert parse(packet(ACK, 7, b"GET /")) == Segment(OTHER, POD, 7, ACK, b"GET /")
    assert parse(b"\x60" + b"\0" * 60) is None


@pytest.mark.parametrize("start", [100, 2**32 - 4])
def test_segments_are_put_in_order_and_said_once(start: int) -> None:
    def at(number: int) -> int:
        return (start + 1 + number) % 2**32

    assert heard(
        packet(SYN, start),
        packet(SYN | ACK, 900, to_pod=False),
        packet(ACK, at(3), b"def"),
        packet(ACK, at(0), b"abc"),
        packet(ACK, at(0), b"abc"),
        packet(ACK, at(3), b"defgh"),
        packet(ACK, 901, b"yes", to_pod=False),
        packet(ACK | FIN, at(8)),
        packet(ACK | FIN, 904, to_pod=False),
    ) == [
        (1, 8080, True, b"abc"),
        (1, 8080, True, b"def"),
        (1, 8080, True, b"gh"),
        (1, 8080, False, b"yes"),
        (1, 8080, True, b""),
        (1, 8080, False, b""),
    ]


def test_a_connection_from_before_begins_where_it_is_first_heard() -> None:
    assert heard(packet(ACK, 500), packet(ACK, 500, b"late"), packet(ACK, 504, b"r")) == [
        (1, 8080, True, b"late"),
        (1, 8080, True, b"r"),
    ]


def test_the_same_port_again_is_another_connection() -> None:
    found = heard(
        packet(SYN, 1),
        packet(ACK, 2, b"a"),
        packet(RST, 3),
        packet(SYN, 50),
        packet(SYN, 50),
        packet(ACK, 51, b"b"),
    )
    assert found == [(1, 8080, True, b"a"), (2, 8080, True, b"b")]
