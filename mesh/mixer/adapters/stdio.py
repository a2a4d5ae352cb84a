"""stdio: writes ``logentry`` instances, one JSON object a line, to Mixer's own log.

``severity_levels`` maps the entry's ``severity`` to ``INFO``, ``WARNING`` or ``ERROR``;
``outputAsJson: false`` writes ``name=value`` pairs.  Read it with ``meshctl logs mixer``.
Source: istio/istio 1.4 ``mixer/adapter/stdio``.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from mesh.mixer.adapters import Sink


class Adapter:
    """A handler of kind ``stdio``."""

    def __init__(self, params: Mapping[str, Any], clock: Callable[[], float]) -> None:
        """Read ``severity_levels`` and ``outputAsJson``."""
        del clock
        levels = params.get("severityLevels") or params.get("severity_levels") or {}
        self._levels = {str(key).lower(): str(value) for key, value in levels.items()}
        self._json = bool(params.get("outputAsJson", params.get("output_as_json", True)))

    def report(self, instance: str, values: Mapping[str, Any], sink: Sink) -> None:
        """Write one entry."""
        severity = str(values.get("severity", "info")).lower()
        entry = {
            "level": self._levels.get(severity, severity.upper()),
            "time": str(values.get("timestamp", "")),
            "instance": instance,
            **{k: v for k, v in values.items() if k not in ("severity", "timestamp")},
        }
        if self._json:
            sink.write(json.dumps(entry, default=str))
        else:
            sink.write(" ".join(f"{name}={value}" for name, value in entry.items()))
