"""Whoever has not the right certificate gets no answer from a STRICT port, on both engines."""

from __future__ import annotations

import contextlib
import os
import socket
import ssl
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import psutil
import pytest

from mesh.citadel.authority import Authority, key_pem, make_authority, new_key, pem, utc_now
from mesh.testbed.load_topology import load_topology
from mesh.testbed.local import LocalTestbed

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks at sockets in /proc")
STRICT = """
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: default, namespace: tutorial}
spec: {mtls: {mode: STRICT}}
"""
CLIENT = "spiffe://cluster.local/ns/tutorial/sa/client"
HOUR, DAY = timedelta(hours=1), timedelta(days=1)


@dataclass(frozen=True)
class Caller:
    """How to call: with whose certificate, for whom, from when to when, by which TLS version."""

    authority: str = "mesh"
    uri: str = CLIENT
    begin: timedelta = -HOUR
    end: timedelta = HOUR
    version: ssl.TLSVersion | None = None


GOOD = Caller()
BAD: dict[str, Caller | None] = {
    "plain text": None,
    "no certificate": Caller(authority=""),
    "another authority": Caller(authority="foreign"),
    "signed by itself": Caller(authority="self"),
    "another trust domain": Caller(uri="spiffe://elsewhere.example/ns/tutorial/sa/client"),
    "expired": Caller(begin=-DAY, end=-HOUR),
    "not yet valid": Caller(begin=HOUR, end=DAY),
    "TLS 1.1": Caller(version=ssl.TLSVersion.TLSv1_1),
}


@pytest.fixture(
    scope="module", params=["mitmproxy", pytest.param("envoy", marks=pytest.mark.envoy)]
)
def bed(request: pytest.FixtureRequest) -> Iterator[LocalTestbed]:
    before = os.environ.get("MESH_LAB_HOME")
    with TemporaryDirectory(prefix="mlneg", dir="/tmp") as home:
        os.environ["MESH_LAB_HOME"] = f"{home}/m"
        topology = load_topology({"gateway": False, "services": {"backend": None}})
        with LocalTestbed(topology, engine=request.param) as running:
            running.apply([("strict.yaml", STRICT)])
            yield running
        os.environ.pop("MESH_LAB_HOME")
        if before is not None:
            os.environ["MESH_LAB_HOME"] = before


def context(caller: Caller, mesh: Authority, folder: Path) -> ssl.SSLContext:
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    made.check_hostname, made.verify_mode = False, ssl.CERT_NONE
    made.set_alpn_protocols(["istio"])
    if caller.version is not None:
        made.set_ciphers("ALL:@SECLEVEL=0")
        made.minimum_version = ssl.TLSVersion.TLSv1
        made.maximum_version = caller.version
    if not caller.authority:
        return made
    key, now = new_key(), utc_now()
    foreign = make_authority("mesh lab root 1", now)  # the same names, another key
    authority = mesh if caller.authority == "mesh" else foreign
    if caller.authority == "self":
        authority = Authority(foreign.root, foreign.issuing, key)
    certificate = authority.sign(
        key.public_key(), (caller.uri,), now + caller.begin, now + caller.end
    )
    chain = pem(certificate) + (pem(authority.issuing) if caller.authority != "self" else b"")
    (folder / "pair.pem").write_bytes(key_pem(key) + chain)
    made.load_cert_chain(folder / "pair.pem")
    return made


def call(bed: LocalTestbed, caller: Caller | None, folder: Path) -> bytes:
    """Return what came back; nothing when the connection was refused or closed."""
    pod = bed.find("backend").pod
    assert pod is not None
    files = sorted((bed.run.path / "citadel").glob("*.pem"))
    mesh = Authority.from_pem(files[-1].read_bytes())
    plain = socket.create_connection((pod.address, pod.ports[8080]), timeout=20)
    with contextlib.closing(plain):
        sock = plain
        if caller is not None:
            try:
                sock = context(caller, mesh, folder).wrap_socket(plain)
            except (ssl.SSLError, ConnectionError):
                return b""
        with contextlib.closing(sock), contextlib.suppress(ssl.SSLError, ConnectionError):
            sock.sendall(b"GET / HTTP/1.1\r\nhost: backend\r\nconnection: close\r\n\r\n")
            return sock.recv(65536)
    return b""


def test_the_right_certificate_is_answered(bed: LocalTestbed, tmp_path: Path) -> None:
    assert call(bed, GOOD, tmp_path).startswith(b"HTTP/1.1 200")


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")
@pytest.mark.parametrize("name", BAD)
def test_everybody_else_is_not(name: str, bed: LocalTestbed, tmp_path: Path) -> None:
    before = len(bed.journal())
    assert call(bed, BAD[name], tmp_path) == b""
    assert len(bed.journal()) == before


def test_there_is_no_way_past_the_sidecar(bed: LocalTestbed) -> None:
    """The application listens on a Unix socket below a folder that is its owner's alone."""
    pod = bed.find("backend")
    listening = [
        each for each in psutil.Process(pod.app_pid).net_connections("inet") if not each.raddr
    ]
    assert listening == []
    assert isinstance(pod.application, str)
    assert (
        bed.run.path.stat().st_mode & 0o077 == 0 or bed.run.path.parent.stat().st_mode & 0o077 == 0
    )
