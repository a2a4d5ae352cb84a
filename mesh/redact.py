"""Keeps private keys out of what is shown: configuration dumps name them and leave them out.

Envoy does the same in its ``/config_dump``: what is marked sensitive reads ``[redacted]``.
"""

from __future__ import annotations

import base64
from typing import Any

WORD = "[redacted]"
_BYTES = base64.b64encode(WORD.encode()).decode()
_KEYS = {"privateKey", "private_key", "password"}


def redacted(data: Any) -> Any:
    """Return ``data`` (a message as a dictionary) with the content of private keys replaced."""
    if isinstance(data, list):
        return [redacted(each) for each in data]
    if not isinstance(data, dict):
        return data
    return {
        key: _hidden(value) if key in _KEYS and isinstance(value, dict) else redacted(value)
        for key, value in data.items()
    }


def _hidden(source: dict[str, Any]) -> dict[str, Any]:
    """Hide what a DataSource holds; the name of a file may be seen."""
    words = {"inlineBytes": _BYTES, "inline_bytes": _BYTES, "inlineString": WORD}
    return {
        key: words.get(key, WORD if key == "inline_string" else value)
        for key, value in source.items()
    }
