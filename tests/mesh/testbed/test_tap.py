"""The wire between two sidecars: plain text turns into TLS records, in the mesh and at the command."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from mesh.testbed.client import TestbedError
from mesh.testbed.load_topology import load_topology
from mesh.testbed.local import LocalTestbed
from mesh.testbed.tap import Chunk, Relay
from mesh.testbed.tls_records import PLAIN, TLS, Decoder, Piece

OFF = """
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: default, namespace: tutorial}
spec: {mtls: {mode: DISABLE}}
"""
TOPOLOGY = {"gateway": False, "services": {"backend": None, "client": None}}
WORD = {"x-secret": "the-word-of-the-day"}
URL = "http://backend:8080/"
SECONDS = 60


@pytest.fixture(scope="module")
def bed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalTestbed]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MESH_LAB_HOME", str(tmp_path_factory.mktemp("h").resolve() / "m"))
        with LocalTestbed(load_topology(TOPOLOGY)) as running:
            yield running


def conversation(wire: Relay, answers: bytes) -> tuple[bytes, list[Piece]]:
    """Read until the pod has said ``answers``; all bytes, and what the way to the pod consists of."""
    seen, pieces, back = b"", [], b""
    decoder = Decoder()
    while answers not in back:
        chunk = wire.next(SECONDS)
        assert isinstance(chunk, Chunk), back
        seen += chunk.data
        if chunk.to_pod:
            pieces += decoder.feed(chunk.data)
        else:
            back += chunk.data
    return seen, pieces


def test_plain_text_turns_into_tls(bed: LocalTestbed) -> None:
    bed.apply([("off.yaml", OFF)])
    with bed.tap("backend") as wire:
        assert bed.request(URL, from_pod="client", headers=WORD).status == 200
        seen, pieces = conversation(wire, b"the-word-of-the-day")
    assert {each.kind for each in pieces} == {PLAIN}
    assert b"GET / HTTP/1.1" in seen and b"x-secret: the-word-of-the-day" in seen
    bed.delete([("PeerAuthentication", "tutorial", "default")])
    with bed.tap("backend") as wire:
        assert bed.request(URL, from_pod="client", headers=WORD).status == 200
        application_data = b"\x17\x03\x03"
        seen, pieces = conversation(wire, application_data)
    assert b"word-of-the-day" not in seen and b"GET" not in seen
    assert {each.kind for each in pieces} == {TLS}
    name = "outbound_.8080_._.backend.tutorial.svc.cluster.local"
    assert pieces[0].text == f"handshake: ClientHello (server name {name}, protocols istio)"
    assert pieces[-1].text.startswith("application data: ")
    assert bed.request(URL, from_pod="client").status == 200  # past the relay again


def test_one_listens_at_a_time(bed: LocalTestbed) -> None:
    with (
        bed.tap("backend"),
        pytest.raises(TestbedError, match="somebody listens at backend-v1"),
        bed.tap("backend"),
    ):
        pass
    with pytest.raises(TestbedError, match="there is no pod"), bed.tap("nobody"):
        pass


def test_the_command(bed: LocalTestbed) -> None:
    meshctl = Path(sys.executable).with_name("meshctl")
    command = [str(meshctl), "tap", "backend", "-c", "1"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None and process.stderr is not None
        assert "listening at backend-v1-" in process.stderr.readline()
        assert bed.request(URL, from_pod="client").status == 200
        told = process.stdout.read()
        assert process.wait() == 0, process.stderr.read()
    assert told.startswith("#1 --> ") and "TLS: handshake: ClientHello" in told
    assert "16 03 01" in told
    assert bed.request(URL, from_pod="client").status == 200
