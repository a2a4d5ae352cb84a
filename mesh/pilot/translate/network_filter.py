"""EnvoyFilter on a NETWORK_FILTER: limits of the HTTP connection manager.

Merged last, over what the control plane has made: durations and numbers replace, the group
``common_http_protocol_options`` is merged field by field.  EnvoyFilters come in the order of
``envoy_filter.key``; which patches have effect: ``mesh.istio.connection_manager``.
Source: istio/istio ``pilot/pkg/networking/core/envoyfilter/listener_patch.go``.
Shown by ``meshctl proxy-config listener POD -o json``.
"""

from __future__ import annotations

from envoy_data_plane.envoy.extensions.filters.network.http_connection_manager.v3 import (
    HttpConnectionManager,
)

from mesh.istio.connection_manager import COMMON_FIELD, LIMITS, read
from mesh.istio.local_rate_limit import BadLimitError, NoEffectError
from mesh.pilot.node import ProxyNode
from mesh.pilot.translate import envoy_filter
from mesh.pilot.translate.view import MeshView


def merge(
    manager: HttpConnectionManager, view: MeshView, node: ProxyNode, context: str, port: int
) -> None:
    """Merge into ``manager``, of the listener of ``port``, what EnvoyFilters say."""
    for _, namespace, name in envoy_filter.key(view, node):
        for patch in envoy_filter.spec_of(view, namespace, name).config_patches or []:
            if patch.apply_to != "NETWORK_FILTER":
                continue
            try:
                limits = read(patch)
            except (NoEffectError, BadLimitError):
                continue  # the validation has said so
            if not limits.holds(context, port):
                continue
            extra = HttpConnectionManager.from_dict(dict(limits.config))
            for field in limits.config.keys() & LIMITS.keys():
                setattr(manager, field, getattr(extra, field))
            if extra.common_http_protocol_options is not None:
                ours = manager.common_http_protocol_options
                theirs = extra.common_http_protocol_options
                merged = theirs if ours is None else envoy_filter.merged(ours, theirs)
                setattr(manager, COMMON_FIELD, merged)
