"""Imports two large libraries without the parts that no process of a mesh uses.

``envoy_data_plane`` imports grpcio for synchronous stubs (the kit speaks gRPC by grpclib), and
``mitmproxy.master`` all forty stock addons for one of them.  Both would be in every process of
the mesh: together 35 MB and half a second of each start, and grpcio has threads of its own, which
do not go with forking.  An empty module stands in their place during the import and is taken away
afterwards, so that whoever imports the real one later gets it.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType


@contextmanager
def stand_in(name: str, **attributes: object) -> Iterator[None]:
    """Let an empty module be ``name`` meanwhile; a module that is already imported stays."""
    if name in sys.modules:
        yield
        return
    module = ModuleType(name)
    vars(module).update(attributes)
    sys.modules[name] = module
    try:
        yield
    finally:
        del sys.modules[name]


def import_xds() -> None:
    """Import the ADS messages and stubs without grpcio."""
    with stand_in("grpc", Channel=object):
        import_module("envoy_data_plane.envoy.service.discovery.v3")


def import_mitmproxy() -> None:
    """Import mitmproxy's Master without the stock addons."""
    spec = find_spec("mitmproxy")
    if spec is None or spec.origin is None:  # the import itself will say what is missing
        return
    addons = str(Path(spec.origin).with_name("addons"))
    with stand_in("mitmproxy.addons", __path__=[addons]):
        import_module("mitmproxy.master")


_BEFORE = {"mesh.pilot.main": import_xds, "mesh.sidecar.main": import_mitmproxy}


def prepare(module: str) -> None:
    """Import leanly what importing ``module`` would import whole."""
    if module in _BEFORE:
        _BEFORE[module]()
