"""Spans go on to another collector, word for word, and nobody waits for one that is not there."""

import asyncio
import json

from tornado.httpclient import AsyncHTTPClient
from tornado.httpserver import HTTPServer
from tornado.testing import bind_unused_port
from tornado.web import Application, RequestHandler

from mesh.mixer.report import Report
from mesh.mixer.server import PRIVATE, application

SPAN = {
    "traceId": "463ac35c9f6413ad48485a3953bb6124",
    "id": "a2fb4a1d1a96d312",
    "kind": "CLIENT",
    "name": "recommendation",
    "timestamp": 1700000000000000,
    "duration": 2000,
    "localEndpoint": {"serviceName": "preference.tutorial"},
    "tags": {},
}


def test_spans_are_passed_on() -> None:
    async def main() -> None:
        came: asyncio.Queue[bytes] = asyncio.Queue()

        class Collector(RequestHandler):
            def post(self) -> None:
                came.put_nowait(self.request.body)

        sock, port = bind_unused_port()
        collector = HTTPServer(Application([(r"/api/v2/spans", Collector)]))
        collector.add_socket(sock)
        report = Report()
        mine, own = bind_unused_port()
        server = HTTPServer(application(report, PRIVATE))
        server.add_socket(mine)
        url, body = f"http://127.0.0.1:{own}/api/v2/spans", json.dumps([SPAN]).encode()
        client = AsyncHTTPClient()
        for place in (f"http://127.0.0.1:{port}/api/v2/spans", "http://127.0.0.1:1/"):
            report.zipkin_url = place
            answer = await client.fetch(url, method="POST", body=body)
            assert answer.code == 202
        assert await came.get() == body
        assert came.empty()
        for each in (collector, server):
            each.stop()
            await each.close_all_connections()
        client.close()

    asyncio.run(main())
