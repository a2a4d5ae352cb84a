"""What no visitor of a cluster can ask for: each is one sentence, and the check that needs it says so."""

from __future__ import annotations

from typing import Any

from mesh.testbed.kubernetes.kubectl import NotOfferedError


class NotOffered:
    """The questions of a testbed that only the kit's own mesh answers."""

    def kill_pilot(self) -> None:
        """Not offered: a cluster's istiod serves others, too."""
        raise NotOfferedError("the control plane of a cluster is not the grader's to kill")

    def start_pilot(self) -> None:
        """Not offered either."""
        raise NotOfferedError("the control plane of a cluster is not the grader's to start")

    def reload_filter(self, pod: str) -> None:
        """Not offered: a filter in Python runs in the kit's own sidecar only."""
        raise NotOfferedError("a filter in Python runs in the kit's own sidecar only")

    @property
    def run(self) -> Any:
        """Not offered: a mesh of the kit's has a folder here, with its authority's keys."""
        raise NotOfferedError("the keys of a cluster's authority are not the grader's to read")

    def telemetry(self, *, spans: bool = False) -> Any:
        """Not offered: Prometheus and a trace collector are not part of what kubectl reaches."""
        raise NotOfferedError("metrics and traces are not read from a cluster")
