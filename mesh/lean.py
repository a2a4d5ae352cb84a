"""Imports two large libraries without the parts that no process of a mesh uses.

``envoy_data_plane`` imports grpcio for synchronous stubs (the kit speaks gRPC by grpclib), and
``mitmproxy.master`` all forty stock addons for one of them.  Both would be in every process of
the mesh: together 35 MB and half a second of each start, and grpcio has threads of its own, which
do not go with forking.  An empty module stands in their place during the import and is taken away
afterwards, so that whoever imports the real one later gets it.

The messages of ``envoy_data_plane`` are pydantic dataclasses: each class compiles a schema when it
is made (over a second for the kit's), and each message read is validated by a validator made anew
(over half of a sidecar's first configuration).  What is read is typed by its wire format anyhow, so
the processes of a mesh import them as plain dataclasses; the tests import them as they are.
"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType

import pydantic
import pydantic.dataclasses

XDS = (
    "envoy.config.accesslog.v3",
    "envoy.config.cluster.v3",
    "envoy.config.core.v3",
    "envoy.config.endpoint.v3",
    "envoy.config.listener.v3",
    "envoy.config.rbac.v3",
    "envoy.config.route.v3",
    "envoy.config.trace.v3",
    "envoy.extensions.access_loggers.file.v3",
    "envoy.extensions.filters.common.fault.v3",
    "envoy.extensions.filters.http.cors.v3",
    "envoy.extensions.filters.http.ext_authz.v3",
    "envoy.extensions.filters.http.fault.v3",
    "envoy.extensions.filters.http.header_to_metadata.v3",
    "envoy.extensions.filters.http.jwt_authn.v3",
    "envoy.extensions.filters.http.local_ratelimit.v3",
    "envoy.extensions.filters.http.rbac.v3",
    "envoy.extensions.filters.http.router.v3",
    "envoy.extensions.filters.listener.http_inspector.v3",
    "envoy.extensions.filters.listener.original_dst.v3",
    "envoy.extensions.filters.listener.tls_inspector.v3",
    "envoy.extensions.filters.network.http_connection_manager.v3",
    "envoy.extensions.filters.network.rbac.v3",
    "envoy.extensions.filters.network.tcp_proxy.v3",
    "envoy.extensions.retry.host.previous_hosts.v3",
    "envoy.extensions.transport_sockets.raw_buffer.v3",
    "envoy.extensions.transport_sockets.tls.v3",
    "envoy.extensions.upstreams.http.v3",
    "envoy.service.discovery.v3",
    "envoy.type.matcher.v3",
    "envoy.type.tracing.v3",
    "envoy.type.v3",
    "google.protobuf",
    "google.rpc",
)
"""The modules of ``envoy_data_plane`` that the control plane and the sidecars import."""


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
    """Import the xDS messages as plain dataclasses, and the ADS stubs without grpcio."""
    with stand_in("grpc", Channel=object), plain_dataclasses():
        for name in XDS:
            import_module(f"envoy_data_plane.{name}")


@contextmanager
def plain_dataclasses() -> Iterator[None]:
    """Let ``pydantic``'s dataclasses be the standard library's meanwhile."""
    before = pydantic.dataclasses.dataclass, pydantic.model_validator
    vars(pydantic.dataclasses)["dataclass"] = _plain
    vars(pydantic)["model_validator"] = lambda **_: lambda function: function
    try:
        yield
    finally:
        vars(pydantic.dataclasses)["dataclass"], vars(pydantic)["model_validator"] = before


def _plain(*, config: object, **options: bool) -> Callable[[type], type]:
    return dataclasses.dataclass(**options)


def import_mitmproxy() -> None:
    """Import mitmproxy's Master without the stock addons."""
    spec = find_spec("mitmproxy")
    if spec is None or spec.origin is None:  # the import itself will say what is missing
        return
    addons = str(Path(spec.origin).with_name("addons"))
    with stand_in("mitmproxy.addons", __path__=[addons]):
        import_module("mitmproxy.master")


def import_sidecar() -> None:
    """Import what a sidecar needs of both."""
    import_xds()
    import_mitmproxy()


_BEFORE = {"mesh.pilot.main": import_xds, "mesh.sidecar.main": import_sidecar}


def prepare(module: str) -> None:
    """Import leanly what importing ``module`` would import whole."""
    if module in _BEFORE:
        _BEFORE[module]()
