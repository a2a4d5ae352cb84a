"""The router end to end: what goes upstream, what comes back, Envoy's own answers."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest
from envoy_data_plane.envoy.config.cluster.v3 import OutlierDetection

PREFIX = "upstream connect error or disconnect/reset before headers. "


async def test_the_authority_of_an_absolute_target_decides(kit, folder):
    async with kit.upstream() as up:
        host = {"domains": ["a.test:8080"], "includeRequestAttemptCount": True}
        entries, clusters = [kit.route("/", "up")], [kit.cluster("up", up.port)]
        async with kit.running(folder, entries, clusters, host) as mesh:
            client = await mesh.client()
            head = b"GET http://a.test:8080/x?y=1 HTTP/1.1\r\nHost: other\r\n\r\n"
            assert (await client.send(head)).status == 200
            client.close()
            first, *lines = up.heads[0].split("\r\n")
            assert first == "GET /x?y=1 HTTP/1.1"
            assert lines[0] == "host: a.test:8080"
            assert "x-forwarded-proto: http" in lines
            assert "x-envoy-attempt-count: 1" in lines
            assert [line for line in lines if line.startswith("x-request-id: ")]
            (record,) = await mesh.records()
            assert record["authority"] == "a.test:8080"
            assert record["upstream_cluster"] == "up"
            assert record["response_code_details"] == "via_upstream"


async def test_an_application_behind_a_unix_socket(kit, folder):
    path = str(folder / "app.sock")
    async with kit.upstream(path=path) as app:
        entries, clusters = (
            [kit.route("/", "inbound|8080||")],
            [kit.cluster("inbound|8080||", path)],
        )
        async with kit.running(folder, entries, clusters) as mesh:
            assert (await mesh.get()).status == 200
            assert app.connections == 1
            assert (await mesh.records())[0]["upstream_host"] == path


async def test_local_answers_are_envoys(kit, folder):
    async def handler(method, path, head, body):
        if path == "/close":
            return None
        return b"nonsense\r\n\r\n"

    async with kit.upstream(handler) as up:
        entries = [
            kit.route("/nc", "missing"),
            kit.route("/uh", "empty"),
            kit.route("/uf", "refused"),
            kit.route("/close", "up"),
            kit.route("/bad", "up"),
        ]
        clusters = [
            kit.cluster("up", up.port),
            kit.cluster("empty"),
            kit.cluster("refused", kit.free_port()),
        ]
        expected = {
            "/none": (404, "", "NR", "route_not_found"),
            "/nc": (503, "", "NC", "cluster_not_found"),
            "/uh": (503, "no healthy upstream", "UH", "no_healthy_upstream"),
            "/uf": (
                503,
                PREFIX + "reset reason: remote connection failure",
                "UF",
                "upstream_reset_before_response_started{remote_connection_failure|"
                "delayed_connect_error:_Connection_refused}",
            ),
            "/close": (
                503,
                PREFIX + "reset reason: connection termination",
                "UC",
                "upstream_reset_before_response_started{connection_termination}",
            ),
            "/bad": (
                502,
                PREFIX + "reset reason: protocol error",
                "UPE",
                "upstream_reset_before_response_started{protocol_error}",
            ),
        }
        async with kit.running(folder, entries, clusters) as mesh:
            client = await mesh.client()
            for path, (status, body, _, _) in expected.items():
                reply = await client.get(path)
                assert (reply.status, reply.body.decode()) == (status, body), path
                assert reply.headers["server"] == "envoy"
                if body:
                    assert reply.headers["content-type"] == "text/plain"
            client.close()
            for record in await mesh.records():
                _, _, flag, details = expected[record["path"]]
                assert (record["response_flags"], record["response_code_details"]) == (
                    flag,
                    details,
                )


async def test_an_answer_may_arrive_byte_by_byte(kit, folder):
    async def accept(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        for byte in b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n":
            writer.write(bytes([byte]))
            await writer.drain()
            await asyncio.sleep(0)
        await reader.read()
        writer.close()

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with kit.running(folder, [kit.route("/", "up")], [kit.cluster("up", port)]) as mesh:
        reply = await mesh.get()
        assert (reply.status, reply.body) == (200, b"ok")
    server.close()


async def test_an_answer_101_that_nobody_asked_for_is_a_protocol_error(kit, folder):
    async def switch(*_):
        return b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\n\r\nHTTP/1.1 200 OK\r\n\r\n"

    async with kit.upstream(switch) as up:
        entries, clusters = [kit.route("/", "up")], [kit.cluster("up", up.port)]
        async with kit.running(folder, entries, clusters) as mesh:
            assert (await mesh.get()).status == 502


async def test_timeouts_of_the_route_and_of_a_try(kit, folder):
    async def never(*_):
        await asyncio.Event().wait()

    async with kit.upstream(never) as up:
        retries = {"retryOn": "5xx", "numRetries": 1, "perTryTimeout": "0.05s"}
        entries = [
            kit.route("/route", "up", timeout="0.05s"),
            kit.route("/try", "up", retryPolicy=retries),
        ]
        async with kit.running(folder, entries, [kit.cluster("up", up.port)]) as mesh:
            for path in ("/route", "/try"):
                reply = await mesh.get(path)
                assert (reply.status, reply.body) == (504, b"upstream request timeout")
            first, second = await mesh.records()
            assert first["response_flags"] == "UT"
            assert first["response_code_details"] == "response_timeout"
            assert second["response_flags"] == "URX,UT"
            assert second["response_code_details"] == "upstream_per_try_timeout"
            assert second["upstream_request_attempt_count"] == 2
            assert "x-envoy-expected-rq-timeout-ms: 50" in up.heads[0]


async def test_retries_until_it_works(kit, folder):
    answers = iter([503, 503, 200])

    async def handler(*_):
        return b"HTTP/1.1 %d X\r\nContent-Length: 0\r\n\r\n" % next(answers)

    async with kit.upstream(handler) as up:
        policy = {"retryOn": "5xx", "numRetries": 2}
        entries = [kit.route("/", "up", retryPolicy=policy)]
        host = {"includeRequestAttemptCount": True}
        async with kit.running(folder, entries, [kit.cluster("up", up.port)], host) as mesh:
            assert (await mesh.get()).status == 200
            counts = [
                next(line for line in head.split("\r\n") if line.startswith("x-envoy-attempt"))
                for head in up.heads
            ]
            assert counts == [f"x-envoy-attempt-count: {number}" for number in (1, 2, 3)]
            (record,) = await mesh.records()
            assert record["upstream_request_attempt_count"] == 3
            stats = await mesh.stats()
            assert stats["cluster.up.upstream_rq_retry"] == 2
            assert stats["cluster.up.upstream_rq_retry_success"] == 1


async def test_a_pooled_connection_that_died_is_not_sent_again(kit, folder):
    async def once(method, path, head, body):
        return None if path == "/die" else b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"

    async with kit.upstream(once) as up:
        entries, clusters = [kit.route("/", "up")], [kit.cluster("up", up.port)]
        async with kit.running(folder, entries, clusters) as mesh:
            assert (await mesh.get("/")).status == 200
            assert (await mesh.get("/die")).status == 503
            assert len(up.heads) == 2
            assert up.connections == 1


async def test_mirrors_get_a_copy_under_a_shadow_name(kit, folder):
    got = asyncio.Event()

    async def shadow(*_):
        got.set()
        return b"HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n"

    async with kit.upstream() as up, kit.upstream(shadow) as other:
        mirror = [{"cluster": "other"}, {"cluster": "missing"}]
        entries = [kit.route("/", "up", requestMirrorPolicies=mirror)]
        clusters = [kit.cluster("up", up.port), kit.cluster("other", other.port)]
        async with kit.running(folder, entries, clusters) as mesh:
            assert (await mesh.get(host="a.test:80")).status == 200
            await got.wait()
            assert "host: a.test-shadow:80" in other.heads[0]


async def test_outlier_detection_takes_a_bad_host_out(kit, folder):
    async def bad(*_):
        return b"HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n"

    async with kit.upstream() as good, kit.upstream(bad) as broken:
        cluster = kit.Cluster.from_dict(kit.cluster("up", good.port, broken.port))
        cluster.outlier_detection = OutlierDetection(
            consecutive_5xx=1, max_ejection_percent=100, base_ejection_time=timedelta(minutes=1)
        )
        async with kit.running(folder, [kit.route("/", "up")], [cluster]) as mesh:
            statuses = [(await mesh.get()).status for _ in range(10)]
            assert statuses.count(503) == 1
            stats = await mesh.stats()
            assert stats["cluster.up.outlier_detection.ejections_active"] == 1


async def test_the_circuit_breaker_turns_away_what_has_no_place(kit, folder):
    reached, go = asyncio.Event(), asyncio.Event()

    async def wait(*_):
        reached.set()
        await go.wait()
        return b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"

    async with kit.upstream(wait) as up:
        limits = {"thresholds": [{"maxConnections": 1, "maxPendingRequests": 1}]}
        clusters = [kit.cluster("up", up.port, circuitBreakers=limits)]
        async with kit.running(folder, [kit.route("/", "up")], clusters) as mesh:
            running = asyncio.create_task(mesh.get())
            await reached.wait()
            waiting = asyncio.create_task(mesh.get())
            while (await mesh.stats())["cluster.up.upstream_rq_pending_active"] < 1:
                pass
            reply = await mesh.get()
            assert (reply.status, reply.body.decode()) == (503, PREFIX + "reset reason: overflow")
            assert reply.headers["x-envoy-overloaded"] == "true"
            go.set()
            assert (await running).status == (await waiting).status == 200
            assert up.connections == 1


@pytest.mark.parametrize("chunked", [False, True])
async def test_large_bodies_stream_both_ways(kit, folder, chunked):
    async with kit.upstream() as up:
        entries, clusters = [kit.route("/", "up")], [kit.cluster("up", up.port)]
        async with kit.running(folder, entries, clusters) as mesh:
            body = bytes(range(256)) * 4096
            client = await mesh.client()
            if chunked:
                head = b"POST /x HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n"
                parts = [body[i : i + 100_000] for i in range(0, len(body), 100_000)]
                coded = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts)
                reply = await client.send(head + coded + b"0\r\n\r\n")
            else:
                head = b"POST /x HTTP/1.1\r\nHost: a.test\r\nContent-Length: %d\r\n\r\n"
                reply = await client.send(head % len(body) + body)
            assert reply.status == 200
            assert up.bodies == [body]
            assert reply.body.endswith(body)
            assert (await client.get()).status == 200, "the connection serves the next request"
            client.close()
            assert (await mesh.records())[0]["bytes_received"] == len(body)


async def test_web_sockets_pass_when_the_listener_allows_them(kit, folder):
    async def accept(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 101 Switching\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
        while data := await reader.read(100):
            writer.write(data.upper())
        writer.close()

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    upgrades = [{"upgradeType": "websocket"}]
    entries, clusters = [kit.route("/", "up")], [kit.cluster("up", port)]
    async with kit.running(folder, entries, clusters, upgradeConfigs=upgrades) as mesh:
        client = await mesh.client()
        head = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
        assert (await client.send(head, head_only=True)).status == 101
        client.writer.write(b"hello")
        assert await client.reader.readexactly(5) == b"HELLO"
        client.close()
    server.close()


async def test_a_client_that_leaves_ends_its_request(kit, folder):
    reached, gone = asyncio.Event(), asyncio.Event()

    async def accept(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        reached.set()
        await reader.read()
        gone.set()
        writer.close()

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with kit.running(folder, [kit.route("/", "up")], [kit.cluster("up", port)]) as mesh:
        client = await mesh.client()
        client.writer.write(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        await reached.wait()
        client.close()
        await gone.wait()
        (record,) = await mesh.records()
        assert (record["response_code"], record["response_flags"]) == (0, "DC")
    server.close()


async def test_faults_delay_and_abort(kit, folder):
    always = {"numerator": 100}
    fault = {
        "name": "envoy.filters.http.fault",
        "typedConfig": {
            "@type": kit.TYPE + "envoy.extensions.filters.http.fault.v3.HTTPFault",
            "delay": {"fixedDelay": "0.001s", "percentage": always},
            "abort": {"httpStatus": 418, "percentage": always},
        },
    }
    entries = [kit.route("/", "up")]
    filters = [fault, kit.ROUTER]
    async with kit.running(folder, entries, [kit.cluster("up", 1)], filters=filters) as mesh:
        reply = await mesh.get()
        assert (reply.status, reply.body) == (418, b"fault filter abort")
        (record,) = await mesh.records()
        assert record["response_flags"] == "DI,FI"
        assert record["response_code_details"] == "fault_filter_abort"
        assert (await mesh.stats())["http.out.fault.aborts_injected"] == 1
