"""Dataclasses as plain data and back, for the messages between processes and the state files."""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Union


def to_plain(value: Any) -> Any:
    """Dataclasses become dicts, tuples lists, paths texts: what JSON can hold."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = dataclasses.fields(value)
        return {item.name: to_plain(getattr(value, item.name)) for item in fields}
    if isinstance(value, Mapping):
        return {str(key): to_plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [to_plain(each) for each in value]
    return str(value) if isinstance(value, Path) else value


def from_plain(kind: Any, raw: Any) -> Any:
    """Build a value of type ``kind`` from plain data; TypeError for a key it does not have."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if isinstance(kind, type) and dataclasses.is_dataclass(kind):
        hints = typing.get_type_hints(kind)
        known = {key: from_plain(hints.get(key, Any), each) for key, each in raw.items()}
        return kind(**known)
    if origin in (Union, types.UnionType):
        if raw is None:
            return None
        return from_plain(next(each for each in arguments if each is not type(None)), raw)
    if origin in (list, set, frozenset):
        return origin(from_plain(arguments[0], each) for each in raw)
    if origin is tuple:
        if len(arguments) == 2 and arguments[1] is Ellipsis:
            return tuple(from_plain(arguments[0], each) for each in raw)
        return tuple(from_plain(one, each) for one, each in zip(arguments, raw, strict=True))
    if origin is not None and isinstance(origin, type) and issubclass(origin, Mapping):
        key, item = arguments
        return {from_plain(key, name): from_plain(item, each) for name, each in raw.items()}
    if kind in (Path, int, float) and raw is not None:
        return kind(raw)
    return raw
