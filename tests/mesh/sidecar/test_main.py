"""A sidecar's life: ready, drained, cut off."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
from pathlib import Path


async def test_admin_speaks_like_envoys(kit, folder):
    async with kit.upstream() as up:
        entries, clusters = [kit.route("/", "up")], [kit.cluster("up", up.port)]
        async with kit.running(folder, entries, clusters) as mesh:
            assert (await mesh.admin("GET", "/ready")).body == b"LIVE\n"
            await mesh.get()
            stats = await mesh.stats()
            assert stats["cluster.up.upstream_rq_200"] == 1
            assert stats["cluster.up.upstream_rq_total"] == 1
            assert stats["http.out.downstream_rq_2xx"] == 1
            assert stats["listener_manager.total_listeners_warming"] == 0
            page = json.loads((await mesh.admin("GET", "/clusters?format=json")).body)
            host = page["cluster_statuses"][0]["host_statuses"][0]
            assert host["address"]["socket_address"]["port_value"] == up.port
            dump = json.loads((await mesh.admin("GET", "/config_dump")).body)
            kinds = {item["@type"].rsplit(".", 1)[1] for item in dump["configs"]}
            assert {"ClustersConfigDump", "ListenersConfigDump", "RoutesConfigDump"} <= kinds
            assert (await mesh.admin("GET", "/nothing")).status == 404
            assert (await mesh.admin("GET", "/reopen_logs")).status == 405


async def test_sigterm_finishes_the_request_under_way(kit, folder):
    reached, go = asyncio.Event(), asyncio.Event()

    async def wait(*_):
        reached.set()
        await go.wait()
        return b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

    async with kit.upstream(wait) as up:
        entries, clusters = [kit.route("/", "up")], [kit.cluster("up", up.port)]
        async with kit.running(folder, entries, clusters) as mesh:
            request = asyncio.create_task(mesh.get())
            await reached.wait()
            mesh.terminate()
            with contextlib.suppress(ConnectionError):
                while True:  # until the port is closed
                    (await mesh.client()).close()
            go.set()
            reply = await request
            assert (reply.status, reply.body, reply.closed) == (200, b"ok", True)
            assert await mesh.ended() == ""
            assert json.loads(Path(mesh.log).read_text())["response_code"] == 200


async def test_a_cut_lifeline_ends_it_at_once(kit, folder):
    async with kit.upstream() as up:
        entries, clusters = [kit.route("/", "up")], [kit.cluster("up", up.port)]
        async with kit.running(folder, entries, clusters) as mesh:
            await mesh.get()
            os.close(mesh.lifeline)
            mesh.lifeline = -1
            assert await mesh.ended() == ""
            assert Path(mesh.log).read_text().count("\n") == 1
