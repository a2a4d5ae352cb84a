"""Listener filters: what can be known of a connection from its first bytes, before anyone answers.

``INSPECTORS`` has one entry a filter; each looks at the bytes that have arrived, fills in what it
found out, and says whether it has seen enough.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from envoy_data_plane.envoy.config.listener.v3 import ListenerFilter

from mesh.sidecar.errors import ConfigRefusedError
from mesh.sidecar.listener_filters import http_inspector, original_dst, tls_inspector
from mesh.sidecar.listener_filters.facts import Inspection

Inspector = Callable[[bytes, Inspection], bool]
"""(bytes so far, facts to fill) -> whether it has seen enough."""

_TYPE = "type.googleapis.com/envoy.extensions.filters.listener."
INSPECTORS: dict[str, Inspector] = {
    _TYPE + "tls_inspector.v3.TlsInspector": tls_inspector.inspect,
    _TYPE + "http_inspector.v3.HttpInspector": http_inspector.inspect,
}


def restores_destination(configs: Sequence[ListenerFilter]) -> bool:
    """Tell whether the filter ``original_dst`` is among them."""
    urls = [each.typed_config.type_url for each in configs if each.typed_config is not None]
    return original_dst.TYPE in urls


def make_inspectors(configs: Sequence[ListenerFilter]) -> tuple[Inspector, ...]:
    """Return the inspectors in their order.  Raises ConfigRefusedError for an unknown filter."""
    made = []
    for config in configs:
        url = config.typed_config.type_url if config.typed_config is not None else ""
        if url == original_dst.TYPE and config.filter_disabled is None:
            continue  # it looks at no byte
        inspector = INSPECTORS.get(url)
        if inspector is None or config.filter_disabled is not None:
            raise ConfigRefusedError(f"listener filter {config.name!r} ({url}) cannot be executed")
        made.append(inspector)
    return tuple(made)
