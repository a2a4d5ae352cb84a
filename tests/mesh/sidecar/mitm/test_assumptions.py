"""What the sidecar assumes of mitmproxy beyond its documented interface."""

from __future__ import annotations

import random

from mitmproxy.connection import Client, Server
from mitmproxy.http import Headers, HTTPFlow, Request, Response
from mitmproxy.proxy.mode_servers import ServerInstance
from mitmproxy.proxy.mode_specs import ProxyMode

from mesh.sidecar.mitm.flow import make_flow, make_request, make_response, random_uuid
from mesh.sidecar.mitm.master import SidecarMaster
from mesh.sidecar.mitm.mode import SidecarInstance, SidecarMode

FIELDS = [(b"a", b"1"), (b"b", b"2")]


def test_a_request_made_quickly_is_a_request():
    made = make_request(b"POST", b"http", b"a:80", b"/x", list(FIELDS), 1.5)
    usual = Request(
        host="", port=0, method=b"POST", scheme=b"http", authority=b"a:80", path=b"/x",
        http_version=b"HTTP/1.1", headers=Headers(FIELDS), content=b"", trailers=None,
        timestamp_start=1.5, timestamp_end=None,
    )  # fmt: skip
    assert made.get_state() == usual.get_state()
    assert vars(made).keys() == vars(usual).keys()
    assert made.headers["A"] == "1"


def test_a_response_made_quickly_is_a_response():
    made = make_response(200, b"OK", list(FIELDS), b"body")
    usual = Response(
        http_version=b"HTTP/1.1", status_code=200, reason=b"OK", headers=Headers(FIELDS),
        content=b"body", trailers=None, timestamp_start=made.timestamp_start, timestamp_end=None,
    )  # fmt: skip
    assert made.get_state() == usual.get_state()
    assert vars(made).keys() == vars(usual).keys()
    assert made.text == "body"


def test_a_flow_made_quickly_is_a_flow():
    client = Client(peername=("127.0.0.1", 1), sockname=("127.0.0.1", 2))
    server = Server(address=None)
    request = make_request(b"GET", b"http", b"a", b"/", [], 1.0)
    made, usual = make_flow(client, server, request, "id"), HTTPFlow(client, server, live=True)
    usual.request, usual.id, usual.timestamp_created = request, "id", 1.0
    assert vars(made).keys() == vars(usual).keys()
    assert made.get_state() == usual.get_state()
    assert made.response is None


def test_uuids_are_version_4():
    rng = random.Random(1)
    for _ in range(100):
        text = random_uuid(rng)
        assert [len(part) for part in text.split("-")] == [8, 4, 4, 4, 12]
        assert text[14] == "4"
        assert text[19] in "89ab"


def test_modes_and_instances_register_themselves():
    mode = ProxyMode.parse("sidecar:virtualInbound@127.0.0.1:15006")
    assert isinstance(mode, SidecarMode)
    assert (mode.listen_host(), mode.listen_port()) == ("127.0.0.1", 15006)
    assert isinstance(ServerInstance.make(mode, None), SidecarInstance)


async def test_addons_documented_hooks_run_and_the_table_follows_changes():
    import asyncio

    seen = []

    class Addon:
        def __init__(self, name):
            self.name = name

        def request(self, flow):
            seen.append((self.name, flow))

    class Waiting(Addon):
        async def request(self, flow):
            await asyncio.sleep(0)
            seen.append((self.name, flow))

    master = SidecarMaster(asyncio.get_running_loop())
    first, second = Addon("one"), Waiting("two")
    master.addons.add(first, second)
    await master.addons.run_hook("request", "flow")
    assert seen == [("one", "flow"), ("two", "flow")]
    master.addons.remove(first)
    await master.addons.run_hook("request", "flow")
    assert seen[2:] == [("two", "flow")]
    await master.done()
