"""What the sidecar tells the control plane, and what it does without one."""

from __future__ import annotations

import asyncio
from pathlib import Path


async def test_acknowledges_with_the_nonce(kit, folder):
    async with kit.upstream() as up:
        entries, clusters = [kit.route("/", "up")], [kit.cluster("up", up.port)]
        async with kit.running(folder, entries, clusters) as mesh:
            ack = await mesh.ads.push(kit.CDS, kit.cluster("up", up.port), kit.cluster("b", 1))
            assert ack.response_nonce == f"n{mesh.ads.version}"
            assert ack.error_detail is None
            assert mesh.ads.requests[0].node.id == "pod"


async def test_refuses_an_unknown_filter_by_name_and_keeps_the_old_configuration(kit, folder):
    async with kit.upstream() as up:
        entries, clusters = [kit.route("/", "up")], [kit.cluster("up", up.port)]
        async with kit.running(folder, entries, clusters) as mesh:
            odd = {
                "name": "envoy.filters.http.buffer",
                "typedConfig": {
                    "@type": kit.TYPE + "envoy.extensions.filters.http.buffer.v3.Buffer",
                },
            }
            from envoy_data_plane.envoy.extensions.filters.http.buffer import v3  # noqa: F401

            table = kit.routes(kit.route("/", "up"))
            changed = kit.listener("out", mesh.port, table, filters=[odd, kit.ROUTER])
            nack = await mesh.ads.push(kit.LDS, changed)
            assert nack.error_detail is not None
            assert "envoy.filters.http.buffer" in nack.error_detail.message
            assert (await mesh.get()).status == 200


async def test_refuses_routes_that_cannot_be_compiled(kit, folder):
    async with kit.upstream() as up:
        entries, clusters = [kit.route("/", "up")], [kit.cluster("up", up.port)]
        async with kit.running(folder, entries, clusters) as mesh:
            bad = {
                "name": "r",
                "match": {"safeRegex": {"regex": "(("}},
                "route": {"cluster": "up"},
            }
            nack = await mesh.ads.push(
                kit.LDS, kit.listener("out", mesh.port, kit.routes(bad), mesh.log)
            )
            assert nack.error_detail is not None
            assert "http_proxy" in nack.error_detail.message
            assert (await mesh.get()).status == 200


async def test_endpoints_and_routes_that_come_by_eds_and_rds(kit, folder):
    async with kit.upstream() as one, kit.upstream() as two:
        mesh = kit.Mesh(folder)
        mesh.ads.set(kit.CDS, kit.eds_cluster("up"))
        mesh.ads.set(kit.EDS, kit.assignment("up", one.port))
        mesh.ads.set(kit.LDS, kit.listener("out", mesh.port, None, mesh.log))
        mesh.ads.set(kit.RDS, kit.routes(kit.route("/", "up")))
        await mesh.start()
        try:
            assert (await mesh.get()).status == 200
            assert len(one.heads) == 1
            await mesh.ads.push(kit.EDS, kit.assignment("up", two.port))
            assert (await mesh.get()).status == 200
            assert len(two.heads) == 1
            await mesh.ads.push(kit.RDS, kit.routes(kit.route("/only", "up")))
            assert (await mesh.get("/only")).status == 200
            assert (await mesh.get("/")).status == 404
        finally:
            assert "Traceback" not in await mesh.stop()


async def test_a_cluster_without_endpoints_warms_until_they_come(kit, folder):
    async with kit.upstream() as up:
        entries, clusters = [kit.route("/", "up")], [kit.cluster("x", up.port)]
        async with kit.running(folder, entries, clusters) as mesh:
            await mesh.ads.push(kit.CDS, kit.eds_cluster("up"))
            assert (await mesh.stats())["cluster_manager.warming_clusters"] == 1
            assert (await mesh.get()).status == 503
            await mesh.ads.push(kit.EDS, kit.assignment("up", up.port))
            assert (await mesh.stats())["cluster_manager.warming_clusters"] == 0
            assert (await mesh.get()).status == 200


async def test_takes_what_changed_and_forgets_what_is_gone(kit, folder):
    async with kit.upstream() as up:
        mesh = kit.Mesh(folder)
        mesh.ads.set(kit.CDS, kit.eds_cluster("up"), kit.eds_cluster("old"))
        mesh.ads.set(kit.EDS, kit.assignment("up", up.port), kit.assignment("old", up.port))
        table = kit.routes(kit.route("/", "up"))
        mesh.ads.set(kit.LDS, kit.listener("out", mesh.port, table, mesh.log))
        await mesh.start()
        try:
            await mesh.ads.push(kit.CDS, kit.eds_cluster("up"))
            assert (await mesh.stats())["cluster_manager.active_clusters"] == 1
            seen = len(mesh.ads.requests)
            gone = [each.resource_names_unsubscribe for each in mesh.ads.requests]
            await mesh.ads.push(kit.CDS, kit.eds_cluster("up"), kit.eds_cluster("new"))
            asked = await mesh.ads.first_request(kit.EDS, seen)
            assert ["old"] in [*gone, asked.resource_names_unsubscribe]
            assert (await mesh.get()).status == 200
        finally:
            assert "Traceback" not in await mesh.stop()


async def test_serves_on_without_control_plane_and_finds_it_again(kit, folder):
    async with kit.upstream() as up:
        entries, clusters = [kit.route("/", "up")], [kit.cluster("up", up.port)]
        async with kit.running(folder, entries, clusters) as mesh:
            Path(mesh.socket).unlink()
            seen = len(mesh.ads.requests)
            mesh.ads.hang_up()
            assert (await mesh.get()).status == 200
            second = kit.Server([mesh.ads])
            await second.start(path=mesh.socket)
            again = await mesh.ads.first_request(kit.CDS, seen)
            assert again.initial_resource_versions.keys() == {"up"}
            assert again.response_nonce == ""
            assert (await mesh.get()).status == 200
            second.close()


async def test_a_listener_change_gives_open_connections_one_more_answer(kit, folder):
    async with kit.upstream() as up:
        entries, clusters = [kit.route("/", "up")], [kit.cluster("up", up.port)]
        async with kit.running(folder, entries, clusters) as mesh:
            client = await mesh.client()
            assert not (await client.get()).closed
            table = kit.routes(kit.route("/new", "up"))
            await mesh.ads.push(kit.LDS, kit.listener("out", mesh.port, table, mesh.log))
            last = await client.get()
            assert (last.status, last.closed) == (200, True)
            assert await client.reader.read() == b""
            client.close()
            assert (await mesh.get("/new")).status == 200
            assert (await mesh.get("/")).status == 404


async def test_a_removed_listener_closes_its_port(kit, folder):
    async with kit.upstream() as up:
        entries, clusters = [kit.route("/", "up")], [kit.cluster("up", up.port)]
        async with kit.running(folder, entries, clusters) as mesh:
            await mesh.ads.push(kit.LDS)
            try:
                await mesh.client()
            except ConnectionRefusedError:
                return
            raise AssertionError("the port is still open")


async def test_a_taken_port_is_refused_with_the_reason(kit, folder):
    async with kit.upstream() as up:
        entries, clusters = [kit.route("/", "up")], [kit.cluster("up", up.port)]
        async with kit.running(folder, entries, clusters) as mesh:
            server = await asyncio.start_server(lambda r, w: None, "127.0.0.1", 0)
            port = server.sockets[0].getsockname()[1]
            table = kit.routes(kit.route("/", "up"))
            nack = await mesh.ads.push(
                kit.LDS,
                kit.listener("out", mesh.port, table, mesh.log),
                kit.listener("x", port, table),
            )
            assert nack.error_detail is not None
            assert "cannot listen" in nack.error_detail.message
            server.close()
