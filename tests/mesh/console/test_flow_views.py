"""mitmproxy's flow view of a sidecar: fed by the sidecar, guarded, and gone with the console."""

from __future__ import annotations

import http.client

import pytest
import requests
from mitmproxy.flow import Flow
from mitmproxy.http import HTTPFlow

from mesh.console.flow_views import FlowViewError, FlowViews
from tests.mesh.console.conftest import Console


def test_the_view_is_guarded_and_ends_with_the_console(console: Console) -> None:
    views = FlowViews()
    pod = next(each for each in console.source.viewable if each.startswith("customer"))
    admin = console.bed.find(pod).node.admin
    try:
        address = views.open(pod, admin)
        assert views.open(pod, admin) == address  # one is enough
        own, _, token = address.partition("?")
        assert token.startswith("token=")
        assert requests.get(f"{own}flows", timeout=10).status_code == 403
        inside = requests.Session()
        assert inside.get(address, timeout=10).status_code == 200
        assert inside.get(f"{own}flows", timeout=10).json() == []
        foreign = {"Host": f"evil.example:{own.rpartition(':')[2].strip('/')}"}
        assert inside.get(f"{own}flows", headers=foreign, timeout=10).status_code == 404
        upgrade = {
            "Connection": "Upgrade",
            "Upgrade": "websocket",
            "Sec-WebSocket-Version": "13",
            "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
            "Origin": "https://evil.example",
        }
        assert inside.get(f"{own}updates", headers=upgrade, timeout=10).status_code == 403
        # A view only: nothing replays requests, runs scripts or writes files.
        commands = inside.get(f"{own}commands", timeout=10).json()
        assert "view.flows.resolve" in commands
        acting = ("replay", "script", "save", "proxyserver", "options.", "export.file")
        assert [each for each in commands if each.startswith(acting)] == [
            "options.reset",
            "options.reset.one",
        ]
    finally:
        views.close()
    with pytest.raises(requests.ConnectionError):
        requests.get(own, timeout=10)


def test_a_sidecar_that_is_not_there_is_told(console: Console) -> None:
    with pytest.raises(FlowViewError, match="flow view of gone did not open"):
        FlowViews().open("gone", "/nowhere/admin")


@pytest.mark.filterwarnings("ignore:.*deprecated")  # mitmproxy.io, while it is imported
def test_the_sidecar_streams_mitmproxys_format(console: Console) -> None:
    from mitmproxy.io import tnetstring

    pod = next(each for each in console.bed.proxies() if each.startswith("customer"))
    port = console.bed.find(pod).node.admin_port
    strange = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    strange.request("GET", "/flows", headers={"Host": "evil.example"})
    assert strange.getresponse().status == 403
    reading = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    reading.request("GET", "/flows")
    answer = reading.getresponse()
    console.bed.request("/customer", headers={"x-request-id": "seen"})
    out, back = (Flow.from_state(tnetstring.load(answer)) for _ in range(2))
    assert isinstance(out, HTTPFlow)
    assert isinstance(back, HTTPFlow)
    assert (out.request.pretty_url, back.request.headers["x-request-id"]) == (
        "http://preference:8080/",
        "seen",
    )
    assert "cluster outbound|8080||preference.tutorial.svc.cluster.local" in out.comment
    assert out.response is not None
    assert out.response.text is not None
    assert out.response.text.startswith("preference => recommendation")
    reading.close()
