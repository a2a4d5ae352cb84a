"""Gateways: which servers a gateway's pod opens."""

from __future__ import annotations

import pytest

from mesh.istio import era, load_text
from mesh.pilot.node import ProxyNode
from mesh.pilot.registry import Registry
from mesh.pilot.translate.gateway import servers
from mesh.pilot.translate.view import MeshView

TEXT = """\
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: front}
spec:
  selector: {istio: ingressgateway}
  servers: [{port: {number: PORT, name: http, protocol: HTTP}, hosts: ['*']}]
"""


@pytest.mark.parametrize(("written", "opened"), [(80, [80]), (8080, [80]), (81, [])])
def test_a_server_names_the_port_of_the_service_or_of_the_pod(
    written: int, opened: list[int], gateway: ProxyNode
) -> None:
    text = TEXT.replace("PORT", str(written))
    resources = load_text(text, era=era("istio-current"), namespace="tutorial").resources
    view = MeshView(Registry(), tuple(resources), era("istio-current"))
    assert list(servers(view, gateway)) == opened
