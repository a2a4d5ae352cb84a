from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from mesh.istio import load_text
from mesh.istio.eras import ISTIO_1_28
from mesh.pilot.node import ProxyNode
from mesh.pilot.translate import LDS, mesh_config, translate
from mesh.pilot.translate.mesh_config import MeshConfig
from mesh.pilot.translate.view import MeshView

MAP = """
apiVersion: v1
kind: ConfigMap
metadata: {name: istio, namespace: istio-system}
data:
  mesh: |
    pathNormalization: {normalization: DECODE_AND_MERGE_SLASHES}
    outboundTrafficPolicy: {mode: REGISTRY_ONLY}
"""


def test_what_is_said() -> None:
    assert mesh_config.read([]) == MeshConfig()
    assert mesh_config.read([{"mesh": ""}]) == MeshConfig()
    text = "pathNormalization: {normalization: DEFAULT}\noutboundTrafficPolicy: {mode: ALLOW_ANY}"
    assert mesh_config.read([{"mesh": text}]) == MeshConfig("BASE", "ALLOW_ANY")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            "enableTracing: true",
            "enableTracing is not executed here: write extensionProviders or outboundTraffic",
        ),
        ("pathNormalization: {normalization: SOME}", "one of NONE, BASE, .*, not 'SOME'"),
        ("pathNormalization: BASE", "has the one key normalization, not 'BASE'"),
        ("outboundTrafficPolicy: {mode: REGISTRY_ONLY, more: 1}", "has the one key mode"),
        ("[]: {", "data.mesh: while parsing"),
        ("- a", "has to be a mapping"),
        (
            "extensionProviders: [{name: a, prometheus: {}}]",
            r"extensionProviders\[0\]: prometheus is not executed here: write envoyExtAuthzHttp",
        ),
    ],
)
def test_what_cannot_be_executed_is_refused(text: str, words: str) -> None:
    with pytest.raises(ValueError, match=f"ConfigMap istio-system/istio: .*{words}"):
        mesh_config.read([{"mesh": text}])


def test_it_is_in_force_at_every_listener(view: Callable[..., MeshView], node: ProxyNode) -> None:
    loaded = load_text(MAP, "m.yaml", era=ISTIO_1_28, namespace="tutorial")
    made = translate(replace(view(), resources=tuple(loaded.resources)), node)
    listeners: Any = made[LDS]
    for name in ("virtualInbound", "http_proxy"):
        config = listeners[name].filter_chains[0].filters[0].typed_config.unpack()
        assert (config.normalize_path, config.merge_slashes) == (True, True)
        assert config.path_with_escaped_slashes_action.name == "UNESCAPE_AND_FORWARD"
    tables: Any = made["type.googleapis.com/envoy.config.route.v3.RouteConfiguration"]
    assert "block_all" in {each.name for each in tables["http_proxy"].virtual_hosts}
