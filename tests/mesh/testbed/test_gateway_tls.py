"""TLS at the gateway: certificates from Secrets, client certificates, passing through, redirects."""

from __future__ import annotations

import base64
import json
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from mesh.testbed.client import NoAnswerError
from mesh.testbed.load_topology import load_topology
from mesh.testbed.local import LocalTestbed
from mesh.testbed.request import ClientTls
from tests.mesh.sidecar.pki import Pair, authority, issue

TOPOLOGY = {
    "services": {
        "customer": {"app": "scripted"},
        "echo": {"app": "tcp_echo", "ports": [{"number": 9000, "name": "tcp", "protocol": "tcp"}]},
        "secure": {
            "app": "tcp_echo",
            "ports": [{"number": 9443, "name": "tls", "protocol": "tls"}],
        },
    },
}
GATEWAY = """\
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: shop, namespace: tutorial}
spec:
  selector: {istio: ingressgateway}
  servers:
    - port: {number: 443, name: simple, protocol: HTTPS}
      hosts: [shop.test]
      tls: {mode: SIMPLE, credentialName: shop-cert}
    - port: {number: 443, name: mutual, protocol: HTTPS}
      hosts: [bank.test]
      tls: {mode: MUTUAL, credentialName: bank-cert}
    - port: {number: 443, name: through, protocol: TLS}
      hosts: [through.test]
      tls: {mode: PASSTHROUGH}
    - port: {number: 443, name: missing, protocol: HTTPS}
      hosts: [missing.test]
      tls: {mode: SIMPLE, credentialName: nobody}
    - port: {number: 80, name: http, protocol: HTTP}
      hosts: [shop.test]
      tls: {httpsRedirect: true}
    - port: {number: 31400, name: tcp, protocol: TCP}
      hosts: ["*"]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: shop, namespace: tutorial}
spec:
  hosts: [shop.test, bank.test]
  gateways: [shop]
  http: [{route: [{destination: {host: customer}}]}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: through, namespace: tutorial}
spec:
  hosts: [through.test]
  gateways: [shop]
  tls:
    - match: [{port: 443, sniHosts: [through.test]}]
      route: [{destination: {host: secure, port: {number: 9443}}}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: raw, namespace: tutorial}
spec:
  hosts: ["*"]
  gateways: [shop]
  tcp:
    - match: [{port: 31400}]
      route: [{destination: {host: echo, port: {number: 9000}}}]
"""


def secret(name: str, pair: Pair, root: Pair | None = None) -> str:
    entries = {"tls.crt": pair.cert_pem, "tls.key": pair.key_pem}
    if root is not None:
        entries["ca.crt"] = root.cert_pem
    data = "".join(
        f"  {key}: {base64.b64encode(text.encode()).decode()}\n" for key, text in entries.items()
    )
    kind = "type: kubernetes.io/tls\n" if root is None else "type: Opaque\n"
    head = f"apiVersion: v1\nkind: Secret\nmetadata: {{name: {name}, namespace: tutorial}}\n"
    return f"{head}{kind}data:\n{data}"


@pytest.fixture(
    scope="module", params=["mitmproxy", pytest.param("envoy", marks=pytest.mark.envoy)]
)
def bed(request: pytest.FixtureRequest) -> Iterator[LocalTestbed]:
    root = authority()
    secrets = [
        secret("shop-cert", issue("shop", ["shop.test"], root)),
        secret("bank-cert", issue("bank", ["bank.test"], root), root),
    ]
    with LocalTestbed(load_topology(TOPOLOGY, "topology"), engine=request.param) as started:
        texts = [("gateway.yaml", GATEWAY), *(("secret.yaml", each) for each in secrets)]
        assert started.apply(texts).in_force
        yield started


@pytest.fixture
def trust(tmp_path: Path) -> str:
    path = tmp_path / "root.pem"
    path.write_text(authority().cert_pem)
    return str(path)


def test_simple(bed: LocalTestbed, trust: str) -> None:
    answer = bed.request("https://shop.test/x?y=1", tls=ClientTls(trust))
    assert answer.status == 200
    seen = json.loads(answer.text)
    assert (seen["path"], seen["headers"]["host"]) == ("/x?y=1", "shop.test")
    assert seen["headers"]["x-forwarded-proto"] == "https"
    assert bed.request("https://shop.test/", tls=ClientTls(verify=False)).status == 200
    with pytest.raises(NoAnswerError, match="CERTIFICATE_VERIFY_FAILED"):
        bed.request("https://shop.test/", tls=ClientTls())


def test_mutual(bed: LocalTestbed, trust: str, tmp_path: Path) -> None:
    me = issue("me", ["spiffe://somewhere/me"], authority())
    cert, key = me.write(tmp_path, "me")
    answer = bed.request("https://bank.test/", tls=ClientTls(trust, cert, key))
    assert answer.status == 200
    with pytest.raises(NoAnswerError):
        bed.request("https://bank.test/", tls=ClientTls(trust))
    stranger, its_key = issue("x", [], authority("other")).write(tmp_path, "x")
    with pytest.raises(NoAnswerError):
        bed.request("https://bank.test/", tls=ClientTls(trust, stranger, its_key))


def test_a_server_without_its_secret_takes_nobody(bed: LocalTestbed, trust: str) -> None:
    with pytest.raises(NoAnswerError):
        bed.request("https://missing.test/", tls=ClientTls(trust))


def test_http_is_led_to_https(bed: LocalTestbed) -> None:
    answer = bed.request("/a?b=c", headers={"host": "shop.test"})
    assert answer.status == 301
    assert dict(answer.headers)["location"] == "https://shop.test/a?b=c"


def test_tcp_at_the_gateway(bed: LocalTestbed) -> None:
    with socket.create_connection(("127.0.0.1", bed.gateway_port(31400))) as connection:
        connection.sendall(b"hello\n")
        connection.shutdown(socket.SHUT_WR)
        with connection.makefile() as received:
            assert received.read() == "v1 hello\n"


def test_passing_through_by_name(bed: LocalTestbed) -> None:
    """The application gets the client's TLS bytes as they are (this one is no TLS server)."""
    from tests.mesh.sidecar.listener_filters.test_inspectors import hello

    with socket.create_connection(("127.0.0.1", bed.gateway_port(443))) as connection:
        connection.sendall(hello("through.test", []) + b"\n")
        with connection.makefile("rb") as received:
            assert received.read(6) == b"v1 \x16\x03\x01"


def test_keys_are_not_shown(bed: LocalTestbed) -> None:
    pod = next(name for name in bed.proxies() if name.startswith("istio-ingressgateway"))
    text = json.dumps(bed.pilot.snapshot(f"{pod}.tutorial"))
    shown = base64.b64encode(b"-----BEGIN PRIVATE KEY")[:28].decode()
    assert "certificate" in text.lower()
    assert shown not in text
    assert "BEGIN PRIVATE KEY" not in text
