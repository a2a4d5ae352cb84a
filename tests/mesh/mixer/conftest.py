import json
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import pytest

from mesh.accesslog import AccessLogRecord
from tests.mesh.mixer.traffic import PODS, feed


@pytest.fixture
def state() -> dict[str, Any]:
    return feed(PODS)


@pytest.fixture
def line() -> Callable[[AccessLogRecord], bytes]:
    def make(record: AccessLogRecord) -> bytes:
        fields = {
            key: value for key, value in asdict(record).items() if key not in ("pod", "extra")
        }
        return json.dumps(fields).encode()

    return make
