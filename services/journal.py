"""The journal: what an application did, in its own words.

A sidecar's access log says what the mesh saw; the journal says what reached the application.
Where both agree a verdict can rest on them; where they differ (a mirrored request, a retry, a
request that a policy stopped) the difference is the lesson.

One JSON object a line: ``time`` (seconds since 1970), ``pod``, ``method``, ``path`` (with query),
``request_id``, ``status`` (0: no answer was sent), ``counter`` (of that pod, from 1).  A line is
in the file before the answer leaves, so who has an answer finds its line.
"""

from __future__ import annotations

import json
import os
import time
from threading import Lock


class Journal:
    """Appends to the file ``path``; with ``path=""`` nothing is written."""

    def __init__(self, path: str, pod: str) -> None:
        self._pod = pod
        self._lock = Lock()
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
        self._fd = os.open(path, flags, 0o644) if path else -1

    def write(
        self,
        *,
        method: str,
        path: str,
        request_id: str,
        status: int,
        counter: int,
        **more: object,
    ) -> None:
        """Append one line, by one ``write`` call: a killed process leaves whole lines."""
        if self._fd < 0:
            return
        entry = {
            "time": round(time.time(), 6),
            "pod": self._pod,
            "method": method,
            "path": path,
            "request_id": request_id,
            "status": status,
            "counter": counter,
            **more,
        }
        line = json.dumps(entry, separators=(",", ":")) + "\n"
        with self._lock:
            os.write(self._fd, line.encode())
