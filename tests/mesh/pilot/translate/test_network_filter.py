"""EnvoyFilter on a NETWORK_FILTER: which listeners get the limits, and what is said of the others."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
from envoy_data_plane.envoy.config.listener.v3 import Listener
from envoy_data_plane.envoy.extensions.filters.network.http_connection_manager.v3 import (
    HttpConnectionManager,
)

from mesh.istio.connection_manager import TYPE, read
from mesh.istio.local_rate_limit import MANAGER, BadLimitError, NoEffectError
from mesh.istio.models.envoy_filter import ConfigPatch
from mesh.pilot.node import ProxyNode
from mesh.pilot.translate import LDS, translate
from mesh.pilot.translate.view import MeshView

Make = Callable[..., MeshView]
PICK = f"filterChain: {{filter: {{name: {MANAGER}}}}}"


def document(
    fields: str, context: str = "SIDECAR_OUTBOUND", listener: str = PICK
) -> tuple[str, str, str]:
    config = f'{{name: {MANAGER}, typed_config: {{"@type": {TYPE}, {fields}}}}}'
    return (
        "EnvoyFilter",
        "limits",
        f"  configPatches:\n  - applyTo: NETWORK_FILTER\n    match: {{context: {context}, "
        f"listener: {{{listener}}}}}\n    patch: {{operation: MERGE, value: {config}}}\n",
    )


def managers(view: MeshView, node: ProxyNode) -> dict[str, HttpConnectionManager]:
    found = {}
    for name, listener in translate(view, node)[LDS].items():
        assert isinstance(listener, Listener)
        packed = listener.filter_chains[0].filters[-1].typed_config
        made = packed.unpack() if packed is not None else None
        if isinstance(made, HttpConnectionManager):
            found[name] = made
    return found


def test_the_listeners_of_a_context_get_the_limits(view: Make, node: ProxyNode) -> None:
    fields = "streamIdleTimeout: 3s, common_http_protocol_options: {maxHeadersCount: 7}"
    found = managers(view(document(fields)), node)
    assert found["http_proxy"].stream_idle_timeout == timedelta(seconds=3)
    assert found["connect"].stream_idle_timeout == timedelta(seconds=3)
    common = found["http_proxy"].common_http_protocol_options
    assert common is not None
    assert common.max_headers_count == 7
    assert found["virtualInbound"].stream_idle_timeout == timedelta(0)
    inbound = managers(view(document(fields, "SIDECAR_INBOUND", f"portNumber: 8080, {PICK}")), node)
    assert inbound["virtualInbound"].stream_idle_timeout == timedelta(seconds=3)
    assert inbound["http_proxy"].stream_idle_timeout == timedelta(0)
    other = managers(view(document(fields, "SIDECAR_INBOUND", f"portNumber: 9, {PICK}")), node)
    assert other["virtualInbound"].stream_idle_timeout == timedelta(0)


def test_a_gateway(view: Make, gateway: ProxyNode) -> None:
    found = managers(view(document("max_request_headers_kb: 96", "GATEWAY")), gateway)
    assert [each.max_request_headers_kb for each in found.values()] == [96] * len(found)


def patch(value: object, match: object = None, operation: str = "MERGE") -> ConfigPatch:
    picked = {"listener": {"filterChain": {"filter": {"name": MANAGER}}}}
    return ConfigPatch.model_validate(
        {
            "applyTo": "NETWORK_FILTER",
            "match": picked if match is None else match,
            "patch": {"operation": operation, "value": value},
        }
    )


def config(**fields: object) -> dict[str, object]:
    return {"name": MANAGER, "typed_config": {"@type": TYPE, **fields}}


@pytest.mark.parametrize(
    ("given", "text"),
    [
        (patch(config(), operation="REMOVE"), "operation: REMOVE"),
        (patch(config(), {"context": "GATEWAY"}), "filter.name"),
        (patch({"typed_config": {"@type": "x"}}), "typed_config"),
        (patch(config(proxy_100_continue=True)), "proxy_100_continue is not merged"),
        (patch(config(common_http_protocol_options={"x": 1})), "x is not merged"),
        (
            patch(
                config(),
                {"listener": {"portNumber": 8080, "filterChain": {"filter": {"name": MANAGER}}}},
            ),
            "portNumber picks none",
        ),
    ],
)
def test_what_has_no_effect_is_said(given: ConfigPatch, text: str) -> None:
    with pytest.raises(NoEffectError, match=text):
        read(given)


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"request_timeout": 5}, "request_timeout is a duration"),
        ({"maxRequestHeadersKb": 9000}, "from 1 to 8192"),
        ({"commonHttpProtocolOptions": {"max_headers_count": 0}}, "max_headers_count"),
        ({"commonHttpProtocolOptions": 3}, "a mapping"),
    ],
)
def test_what_envoy_would_refuse_is_refused(fields: dict[str, object], text: str) -> None:
    with pytest.raises(BadLimitError, match=text):
        read(patch(config(**fields)))
