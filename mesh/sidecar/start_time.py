"""``%START_TIME(FORMAT)%``: when a request began, in access logs and in the values of headers.

Source: Envoy, "Access logging", ``START_TIME``.
"""

from __future__ import annotations

from datetime import UTC, datetime

_DEFAULT = "%Y-%m-%dT%H:%M:%S.%3fZ"


def start_time(moment: float, pattern: str = "") -> str:
    """Write ``moment`` (seconds since 1970) by strftime's letters and Envoy's ``%3f``, ``%6f``."""
    when = datetime.fromtimestamp(moment, UTC)
    micros = f"{when.microsecond:06d}"
    filled = (pattern or _DEFAULT).replace("%3f", micros[:3]).replace("%6f", micros)
    return when.strftime(filled)
