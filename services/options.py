"""AppOptions: everything an application is told when it starts."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class AppOptions:
    """One application process.

    ``app`` is ``services.customer`` (or ``customer``), ``pod`` the pod's name, ``listen`` either
    ``unix:<path>`` or ``<address>:<port>``, or several of them with commas between.  ``proxy`` is
    the sidecar's outbound listener (``http://127.0.0.1:15001``); ``""`` means that requests go
    straight out, as in a container whose traffic iptables redirects.  ``journal`` is a file path
    or ``""``.

    One byte is written to ``ready_fd`` when requests are accepted; EOF on ``lifeline_fd`` ends
    the process at once.  -1 means none.
    """

    app: str
    pod: str
    listen: str
    version: str = "v1"
    proxy: str = ""
    journal: str = ""
    options: dict[str, object] = field(default_factory=dict)
    threads: int = 32
    ready_fd: int = -1
    lifeline_fd: int = -1
