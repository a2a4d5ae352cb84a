"""Tests of the sidecar may be ``async``, and get the kit, a folder, and ports that are given back."""

from __future__ import annotations

import asyncio
import inspect
import shutil
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # a dependency of mitmproxy uses what is deprecated
    import mitmproxy.master  # noqa: F401

from tests.mesh.sidecar import kit as parts
from tests.mesh.sidecar.sidecar_process import PORTS, nursery

LIMIT = 300
"""Seconds after which a test hangs; none takes one when the machine is quiet."""


@pytest.fixture(autouse=True)
def _release_ports() -> Iterator[None]:
    yield
    PORTS.close()


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Run ``async def`` tests, each with a limit that only a hang reaches.

    The imports of the nursery do not count: on a busy machine they alone took the first test's time.
    """
    if not inspect.iscoroutinefunction(pyfuncitem.function):
        return None
    names = inspect.signature(pyfuncitem.function).parameters
    arguments = {name: pyfuncitem.funcargs[name] for name in names}
    if "kit" in names:
        nursery()
    asyncio.run(asyncio.wait_for(pyfuncitem.function(**arguments), LIMIT))
    return True


@pytest.fixture
def kit() -> Any:
    """What a test is built of."""
    return parts


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder with a short path, for Unix sockets."""
    path = Path(tempfile.mkdtemp(prefix="sc"))
    yield path
    shutil.rmtree(path)
