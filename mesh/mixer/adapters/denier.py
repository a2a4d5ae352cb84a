"""denier: refuses every request that the rule's ``match`` lets through to it.

``status.code`` is a google.rpc code (7, PERMISSION_DENIED, becomes 403), ``status.message`` the text.
Source: istio/istio 1.4 ``mixer/adapter/denier``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from mesh.mixer.adapters import Verdict, seconds


class Adapter:
    """A handler of kind ``denier``."""

    def __init__(self, params: Mapping[str, Any], clock: Callable[[], float]) -> None:
        """Read ``status`` and ``validDuration`` (5 s)."""
        del clock
        status = params.get("status") or {}
        self._verdict = Verdict(
            int(status.get("code") or 9),
            str(status.get("message") or ""),
            seconds(params.get("validDuration"), 5.0),
        )

    def check(self, instance: str, values: Mapping[str, Any]) -> Verdict:
        """Refuse."""
        del instance, values
        return self._verdict
