"""Adapters: one Python file each, with one class ``Adapter``; Mixer loads them by their name.

    class Adapter:
        def __init__(self, params, clock): ...      # the handler's parameters; seconds, monotonic
        def check(self, instance, values): ...      # -> Verdict, before a request is let in
        def report(self, instance, values, sink): ... # after it, for each access log record

One of the two methods is enough.  ``values`` are the instance's parameters, computed of the
request's attributes.  A file in the folder that ``MESH_ADAPTERS`` names goes before the kit's own
of the same name.  In a real Mixer an adapter was a Go package (istio/istio 1.4 ``mixer/adapter/*``).
docs/adapters.md shows how to write one.
"""

from __future__ import annotations

import importlib.util
import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, Protocol

FOLDER_VARIABLE = "MESH_ADAPTERS"
OK = 0
CODES = {
    0: ("OK", 200),
    1: ("CANCELLED", 499),
    2: ("UNKNOWN", 500),
    3: ("INVALID_ARGUMENT", 400),
    4: ("DEADLINE_EXCEEDED", 504),
    5: ("NOT_FOUND", 404),
    6: ("ALREADY_EXISTS", 409),
    7: ("PERMISSION_DENIED", 403),
    8: ("RESOURCE_EXHAUSTED", 429),
    9: ("FAILED_PRECONDITION", 400),
    10: ("ABORTED", 409),
    11: ("OUT_OF_RANGE", 400),
    12: ("UNIMPLEMENTED", 501),
    13: ("INTERNAL", 500),
    14: ("UNAVAILABLE", 503),
    15: ("DATA_LOSS", 500),
    16: ("UNAUTHENTICATED", 401),
}
"""google.rpc.Code -> its name and the status that a sidecar answers (google/rpc/code.proto)."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What an adapter says: a google.rpc code (0: go on), and a message for the caller.

    It holds for ``valid_seconds`` (0: for this request only).
    """

    code: int = OK
    message: str = ""
    valid_seconds: float = 0.0


class CheckAdapter(Protocol):
    """What a handler is made of."""

    def check(self, instance: str, values: Mapping[str, Any]) -> Verdict:
        """Judge one request; ``instance`` is the instance's name."""


class Sink(Protocol):
    """Where a report goes."""

    def add(
        self,
        name: str,
        labels: Mapping[str, str],
        value: float,
        kind: str,
        buckets: tuple[float, ...],
    ) -> None:
        """Add to a metric of the pod that reports; ``kind``: COUNTER, GAUGE or DISTRIBUTION."""

    def write(self, line: str) -> None:
        """Write one line of Mixer's own log."""


class ReportAdapter(Protocol):
    """What a handler is made of that takes reports."""

    def report(self, instance: str, values: Mapping[str, Any], sink: Sink) -> None:
        """Take one record; ``instance`` is the instance's name."""


class AdapterError(Exception):
    """An adapter cannot be loaded, or refuses its parameters; one sentence."""


def seconds(value: object, default: float = 0.0) -> float:
    """Read a duration: ``1.5s``, ``2m``, ``1h30m``, ``100ms``, or a timedelta."""
    if value is None:
        return default
    if isinstance(value, timedelta):
        return value.total_seconds()
    parts = re.findall(r"(\d+(?:\.\d+)?)(ms|us|s|m|h)", str(value))
    if not parts or "".join(number + unit for number, unit in parts) != str(value):
        raise AdapterError(f"{value!r} is no duration: write for instance 10s")
    units = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
    return sum(float(number) * units[unit] for number, unit in parts)


def load(
    name: str, params: Mapping[str, Any], clock: Callable[[], float], folder: str = ""
) -> CheckAdapter | ReportAdapter:
    """Make a handler of the adapter ``name``.

    AdapterError when there is no such file, it cannot be imported, has neither ``check`` nor
    ``report``, or refuses ``params``.
    """
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name):
        raise AdapterError(f"{name!r} is no name of an adapter")
    own = Path(folder) / f"{name}.py" if folder else None
    path = own if own is not None and own.is_file() else Path(__file__).with_name(f"{name}.py")
    if not path.is_file():
        places = [Path(__file__).parent, *([Path(folder)] if folder else [])]
        known = sorted({each.stem for place in places for each in place.glob("[a-z]*.py")})
        raise AdapterError(f"there is no adapter {name!r}: there are {', '.join(known)}")
    spec = importlib.util.spec_from_file_location(f"mixer_adapter_{name}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # a dataclass in the file looks itself up there
    try:
        spec.loader.exec_module(module)
        made: CheckAdapter | ReportAdapter = module.Adapter(params, clock)
    except AdapterError:
        raise
    except Exception as error:
        raise AdapterError(f"the adapter {path} cannot be used: {error!r}") from None
    if not hasattr(made, "check") and not hasattr(made, "report"):
        raise AdapterError(f"the adapter {path} has neither check nor report")
    return made
