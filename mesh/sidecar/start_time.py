"""``%START_TIME(FORMAT)%``: when a request began, in access logs and in the values of headers.

Source: Envoy, "Access logging", ``START_TIME``.
"""

from __future__ import annotations

from datetime import UTC, datetime
from functools import lru_cache

_DEFAULT = "%Y-%m-%dT%H:%M:%S.%3fZ"


def start_time(moment: float, pattern: str = "") -> str:
    """Write ``moment`` (seconds since 1970) by strftime's letters and Envoy's ``%3f``, ``%6f``."""
    second, micros = divmod(round(moment * 1_000_000), 1_000_000)
    text = _second(second, pattern or _DEFAULT)
    if "\x01" in text:
        digits = f"{micros:06d}"
        text = text.replace("\x013", digits[:3]).replace("\x016", digits)
    return text


@lru_cache(maxsize=8)
def _second(second: int, pattern: str) -> str:
    """All of a second but its fraction, for the requests that share it."""
    when = datetime.fromtimestamp(second, UTC)
    return when.strftime(pattern.replace("%3f", "\x013").replace("%6f", "\x016"))
