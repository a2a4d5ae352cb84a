"""Applications behind HTTP_PROXY that ask for a tunnel: both engines, by the same xDS."""

from __future__ import annotations

import socket
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from mesh.testbed.client import TestbedError
from mesh.testbed.engines import engine as engine_named
from mesh.testbed.load_topology import load_topology
from mesh.testbed.local import LocalTestbed

TOPOLOGY = {
    "services": {
        "backend": {"workloads": [{"version": "v1"}, {"version": "v2"}]},
        "client": None,
    }
}
ROUTING = """\
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: backend, namespace: tutorial}
spec:
  host: backend
  subsets:
    - {name: v1, labels: {version: v1}}
    - {name: v2, labels: {version: v2}}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: backend, namespace: tutorial}
spec:
  hosts: [backend]
  http:
    - match: [{uri: {prefix: /two}}]
      route: [{destination: {host: backend, subset: v2}}]
    - route: [{destination: {host: backend, subset: v1}}]
"""


def answer(connection: socket.socket) -> bytes:
    """One answer with a content-length (or to CONNECT, without)."""
    data = b""
    while b"\r\n\r\n" not in data:
        more = connection.recv(65536)
        if not more:
            return data
        data += more
    head, _, body = data.partition(b"\r\n\r\n")
    length = head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0]
    while len(body) < int(length or 0):
        body += connection.recv(65536)
    return head + b"\r\n\r\n" + body


@pytest.mark.parametrize("engine", ["mitmproxy", "envoy"])
def test_what_is_in_a_tunnel_meets_the_routes(
    engine: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    try:
        engine_named(engine).check()
    except TestbedError:
        pytest.skip("this engine is not installed")
    monkeypatch.setenv("MESH_LAB_HOME", str(tmp_path.resolve()))
    with LocalTestbed(load_topology(TOPOLOGY), engine=engine) as mesh:
        from mesh.istio import era, load_text

        mesh.apply(load_text(ROUTING, "r.yaml", era=era("istio-current")).resources)
        client = next(pod.name for pod in mesh.pods() if pod.workload == "client-v1")
        proxy = urlsplit(mesh.proxy_url(client))
        with socket.create_connection((proxy.hostname, proxy.port)) as connection:
            connection.sendall(b"CONNECT backend:8080 HTTP/1.1\r\nHost: backend:8080\r\n\r\n")
            assert answer(connection).startswith(b"HTTP/1.1 200")
            for path, version in ((b"/one", b'"v1"'), (b"/two", b'"v2"'), (b"/one", b'"v1"')):
                connection.sendall(b"GET %b HTTP/1.1\r\nHost: backend:8080\r\n\r\n" % path)
                got = answer(connection)
                assert got.startswith(b"HTTP/1.1 200"), got
                assert b'"version": ' + version in got
        with socket.create_connection((proxy.hostname, proxy.port)) as connection:
            connection.sendall(b"CONNECT nowhere:1 HTTP/1.1\r\nHost: nowhere:1\r\n\r\n")
            assert answer(connection).startswith(b"HTTP/1.1 503")
