"""Encodes xDS messages into protobuf's wire format, at a tenth of the library's cost.

betterproto2 validates a message when it is made, and all over again, with a validator built anew,
each time it is written; a control plane writes every resource of every proxy, so that was over half
of its time.  This writes what is already valid: the fields in the library's own description of the
class, worked out once a class.  The bytes are the same (the tests compare them).

Rules: protobuf.dev, "Encoding"; a field without presence is left out when it has its default.
"""

from __future__ import annotations

import dataclasses
import struct
import warnings
import weakref
from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple, cast

from betterproto2 import Message
from grpclib.encoding.proto import ProtoCodec

Writer = Callable[[Any], bytes]


class EncodingCodec(ProtoCodec):
    """Lets grpclib's server write its answers by ``encode``."""

    def encode(self, message: Any, message_type: Any) -> bytes:
        """The message in wire format; grpclib passes the type that the method declares."""
        return encode(message)


_VARINTS = frozenset(("enum", "bool", "int32", "int64", "uint32", "uint64"))
_ZIGZAGS = frozenset(("sint32", "sint64"))
_FIXED = {
    "double": (1, struct.Struct("<d")),
    "fixed64": (1, struct.Struct("<Q")),
    "sfixed64": (1, struct.Struct("<q")),
    "float": (5, struct.Struct("<f")),
    "fixed32": (5, struct.Struct("<I")),
    "sfixed32": (5, struct.Struct("<i")),
}
_NUMBERS = {
    "BoolValue": (0, 1),
    "UInt32Value": (0, 2**32 - 1),
    "Int32Value": (-(2**31), 2**31 - 1),
    "UInt64Value": (0, 2**64 - 1),
    "Int64Value": (-(2**63), 2**63 - 1),
}
"""The wrappers of whole numbers, with what they can hold."""
_VARINT, _LENGTH = 0, 2
"""Wire types; those of ``_FIXED`` are 1 and 5."""


class _Field(NamedTuple):
    """A field of a message class; ``write`` gives tag and value of one item."""

    name: str
    default: Any
    write: Writer
    repeated: bool
    packed: Writer | None


class _Seal(weakref.ref[Message]):
    """The wire format of a message that is still there."""

    __slots__ = ("key", "wire")
    key: int
    wire: bytes


_seals: dict[int, _Seal] = {}


def sealed[M: Message](message: M) -> M:
    """The message itself, whose wire format is kept: it must not be changed any more.

    A copy (``copy.copy``) is a message of its own, without the seal.
    """
    wire = encode(message)
    seal = _seals[id(message)] = _Seal(message, _broken)
    seal.key, seal.wire = id(message), wire
    return message


def _broken(seal: weakref.ref[Message]) -> None:
    """Called when the message is gone."""
    if isinstance(seal, _Seal) and _seals.get(seal.key) is seal:
        del _seals[seal.key]


def encode(message: Message) -> bytes:
    """The message in wire format, as ``bytes(message)`` would write it."""
    seal = _seals.get(id(message))
    if seal is not None:
        return seal.wire
    out = bytearray()
    values = vars(message)
    for name, default, write, repeated, packed in _fields(type(message)):
        value = values[name]
        if value is None or value is default or value == default:
            continue
        if packed is not None:
            out += packed(value)
        elif repeated:
            for item in value:
                out += write(item)
        else:
            out += write(value)
    return bytes(out) + message._unknown_fields


@cache
def _fields(kind: type[Message]) -> tuple[_Field, ...]:
    """The fields of a class in the order in which they are written."""
    return tuple(
        _field(kind, field) for field in dataclasses.fields(cast(Any, kind)) if _meta(field)
    )


def _meta(field: dataclasses.Field[Any]) -> Any:
    return field.metadata.get("betterproto")


def _field(kind: type[Message], field: dataclasses.Field[Any]) -> _Field:
    meta = _meta(field)
    if meta.map_meta:
        key, value = meta.map_meta
        write_key = _writer(1, key.proto_type, None)
        write_value = _writer(2, value.proto_type, value.unwrap)
        tag = _tag(meta.number, _LENGTH)

        def write_map(entries: dict[Any, Any]) -> bytes:
            return b"".join(tag + _sized(write_key(k) + write_value(v)) for k, v in entries.items())

        return _Field(field.name, {}, write_map, False, None)
    write = _writer(meta.number, meta.proto_type, meta.unwrap)
    packable = meta.proto_type in _VARINTS | _ZIGZAGS or meta.proto_type in _FIXED
    packed = _packed(meta.number, meta.proto_type) if meta.repeated and packable else None
    return _Field(field.name, _default(kind, field.name), write, meta.repeated, packed)


def _default(kind: type[Message], name: str) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # a deprecated field has one too
        return getattr(kind(), name)


def _writer(number: int, proto_type: str, unwrap: Callable[[], Any] | None) -> Writer:
    """What writes one item of a field, with its tag."""
    if proto_type in _VARINTS or proto_type in _ZIGZAGS or proto_type in _FIXED:
        plain, wire = _plain(proto_type)
        tag = _tag(number, wire)
        return lambda value: tag + plain(value)
    tag = _tag(number, _LENGTH)
    if proto_type == "string":
        return lambda value: tag + _sized(cast(str, value).encode())
    if proto_type == "bytes":
        return lambda value: tag + _sized(value)
    if unwrap is not None:  # a Duration, a wrapper: the message has Python's own value in its place
        wrapper = unwrap()
        if wrapper.__name__ in _NUMBERS:
            return _wrapped(tag, *_NUMBERS[wrapper.__name__])
        return lambda value: tag + _sized(encode(wrapper.from_wrapped(value)))
    return lambda value: tag + _sized(encode(value))


def _wrapped(tag: bytes, lowest: int, highest: int) -> Writer:
    """What writes a number in its wrapper (a message with the one field ``value``)."""
    inner = _tag(1, _VARINT)

    def write(value: int) -> bytes:
        if not lowest <= value <= highest:
            raise ValueError(f"{value} is not between {lowest} and {highest}")
        return tag + (_sized(inner + varint(value)) if value else b"\0")

    return write


def _packed(number: int, proto_type: str) -> Writer:
    """What writes a repeated field of numbers: one tag, one length, all items."""
    plain, _ = _plain(proto_type)
    tag = _tag(number, _LENGTH)
    return lambda values: tag + _sized(b"".join(map(plain, values)))


def _plain(proto_type: str) -> tuple[Writer, int]:
    """What writes a number without its tag, and its wire type."""
    if proto_type in _FIXED:
        wire, form = _FIXED[proto_type]
        return form.pack, wire
    if proto_type in _ZIGZAGS:
        return lambda value: varint(value << 1 if value >= 0 else ~(value << 1)), _VARINT
    return varint, _VARINT


def _tag(number: int, wire: int) -> bytes:
    return varint(number << 3 | wire)


def length_delimited(number: int, data: bytes) -> bytes:
    """A field with that number whose value (a message, a text) is already written."""
    return _tag(number, _LENGTH) + _sized(data)


def _sized(data: bytes) -> bytes:
    return varint(len(data)) + data


def varint(value: int) -> bytes:
    """Seven bits a byte, the lowest first; a negative number as its 64 bit complement."""
    if 0 <= value < 0x80:
        return bytes((value,))
    value &= (1 << 64) - 1
    out = bytearray()
    while value >= 0x80:
        out.append(0x80 | value & 0x7F)
        value >>= 7
    out.append(value)
    return bytes(out)
