"""What a test in containers needs: a Docker that answers, with Compose v2."""

from __future__ import annotations

import pytest

from mesh.testbed.client import TestbedError
from mesh.testbed.compose import docker as engine


def _docker() -> bool:
    try:
        engine.check_compose()
        engine.client().close()
    except TestbedError:
        return False
    return True


DOCKER = pytest.mark.skipif(
    not _docker(), reason="no Docker with Compose v2 answers on this machine"
)
