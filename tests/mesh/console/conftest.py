"""A running mesh with its console, for all tests of a module."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

pytest.importorskip("dash", reason="the console's packages are not installed (make test does)")

from werkzeug.serving import make_server

from mesh.console.app import create_app
from mesh.console.guard import Guard
from mesh.console.source import Source
from mesh.testbed.load_topology import standard_topology
from mesh.testbed.local import LocalTestbed


@dataclass(frozen=True)
class Console:
    """A console that answers at ``address``."""

    bed: LocalTestbed
    source: Source
    guard: Guard
    address: str

    @property
    def way_in(self) -> str:
        return f"{self.address}/?token={self.guard.token}"


@pytest.fixture(scope="package")
def console(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Console]:
    home: Path = tmp_path_factory.mktemp("h") / "m"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MESH_LAB_HOME", str(home))
        with LocalTestbed(standard_topology(), engine="mitmproxy", era="istio-current") as bed:
            source = Source(bed)
            server = make_server("127.0.0.1", 0, lambda *_: [], threaded=True)
            guard = Guard(server.server_port)
            server.app = create_app(source, guard, home / "runs")
            thread = threading.Thread(target=server.serve_forever, daemon=True)
            thread.start()
            yield Console(bed, source, guard, f"http://127.0.0.1:{server.server_port}")
            source.views.close()
            server.shutdown()
            thread.join()
            server.server_close()
