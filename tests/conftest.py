"""How many tests run at a time (``make test``), and which stay together then."""

import os
import re

import pytest
from hypothesis import HealthCheck, settings
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

# No test asserts a time: how long an example takes says what else the machine does.
settings.register_profile("kit", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("kit")

_A_LAB_ON_A_MESH = re.compile(r"tests/labs/test_labs\.py::.*\[(\d+)-(?:mitmproxy|envoy)")


def together(nodeid: str) -> str:
    """Return what a test stays together with: its file, or its lab where that has a mesh of its own."""
    if lab := _A_LAB_ON_A_MESH.match(nodeid):
        return f"lab {lab[1]}"
    return nodeid.partition("::")[0]


class ByFile(LoadScopeScheduling):
    """Those of a file stay together, for they share what they start; but every lab's mesh is its own.

    xdist's ``loadgroup`` would say the same by marks, but does nothing under pytest 9.2, silently:
    it writes the group to where nodes no longer keep their names.
    """

    def _split_scope(self, nodeid: str) -> str:
        return together(nodeid)


def pytest_xdist_auto_num_workers() -> int:
    """One more than there are processors, for some tests wait; each takes up to 600 MB with its meshes."""
    return min((os.cpu_count() or 1) + 1, 6)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> ByFile:
    return ByFile(config, log)
