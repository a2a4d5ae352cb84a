"""Certificates come from files, and new ones are taken up at the next look."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from envoy_data_plane.envoy.extensions.transport_sockets.tls.v3 import (
    CertificateValidationContext,
    DownstreamTlsContext,
)

from mesh.sidecar.errors import ConfigRefusedError
from mesh.sidecar.tls.context import TlsContext
from mesh.sidecar.tls.peer import CertificateFacts
from mesh.sidecar.tls.san import accepted, compile_sans
from tests.mesh.sidecar.pki import Pair, authority, issue, workload

TLS = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3."


def sds(name: str, path: Path) -> dict[str, Any]:
    return {"name": name, "sdsConfig": {"pathConfigSource": {"path": str(path)}}}


def write_sds(folder: Path, pair: Pair) -> dict[str, Any]:
    """Write what an agent writes; return the common TLS context."""
    cert, key = pair.write(folder, "workload")
    (folder / "root.pem").write_text(authority().cert_pem)
    certificate = {
        "@type": TLS + "Secret",
        "name": "default",
        "tlsCertificate": {"certificateChain": {"filename": cert}, "privateKey": {"filename": key}},
    }
    roots = {
        "@type": TLS + "Secret",
        "name": "ROOTCA",
        "validationContext": {"trustedCa": {"filename": str(folder / "root.pem")}},
    }
    (folder / "sds.yaml").write_text(json.dumps({"resources": [certificate, roots]}))
    path = folder / "sds.yaml"
    return {
        "tlsCertificateSdsSecretConfigs": [sds("default", path)],
        "validationContextSdsSecretConfig": sds("ROOTCA", path),
    }


def downstream(common: dict[str, Any]) -> TlsContext:
    return TlsContext.downstream(DownstreamTlsContext.from_dict({"commonTlsContext": common}))


def test_a_renewed_certificate_is_taken_up(tmp_path: Path) -> None:
    context = downstream(write_sds(tmp_path, workload("first")))
    first = context.loaded()
    assert first.own is not None
    assert first.own.uri_sans == ("spiffe://cluster.local/ns/tutorial/sa/first",)
    assert context.loaded() is first
    workload("second").write(tmp_path, "workload")
    second = context.loaded()
    assert second.own is not None
    assert second.own.uri_sans == ("spiffe://cluster.local/ns/tutorial/sa/second",)


def test_a_half_written_pair_keeps_the_old_one(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    context = downstream(write_sds(tmp_path, workload("first")))
    first = context.loaded()
    (tmp_path / "workload.pem").write_text(workload("second").cert_pem)
    assert context.loaded() is first
    assert "the key does not belong to it" in caplog.text
    (tmp_path / "workload-key.pem").write_text(workload("second").key_pem)
    assert context.loaded() is not first


def test_a_link_that_is_turned(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        workload(name).write(tmp_path / name, "w")
    (tmp_path / "data").symlink_to("one")
    files = {
        "certificateChain": {"filename": str(tmp_path / "data/w.pem")},
        "privateKey": {"filename": str(tmp_path / "data/w-key.pem")},
    }
    context = downstream({"tlsCertificates": [files]})
    (tmp_path / "new").symlink_to("two")
    (tmp_path / "new").rename(tmp_path / "data")
    own = context.loaded().own
    assert own is not None
    assert own.uri_sans == ("spiffe://cluster.local/ns/tutorial/sa/two",)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"tlsCertificateSdsSecretConfigs": [sds("x", Path("/none"))]}, "cannot read /none"),
        (
            {"tlsCertificateSdsSecretConfigs": [{"name": "x", "sdsConfig": {"ads": {}}}]},
            "path_config",
        ),
        ({}, "needs a tls_certificate"),
        ({"keyLog": {"path": "/x"}}, "key_log"),
        (
            {
                "validationContext": {
                    "matchTypedSubjectAltNames": [{"sanType": "URI", "matcher": {"exact": "a"}}]
                }
            },
            "without trusted CA",
        ),
    ],
)
def test_what_cannot_be_executed_is_refused(change: dict[str, Any], reason: str) -> None:
    own = workload("a")
    common: dict[str, Any] = {
        "tlsCertificates": [
            {
                "certificateChain": {"inlineString": own.cert_pem},
                "privateKey": {"inlineString": own.key_pem},
            }
        ]
    }
    if not change or "tlsCertificateSdsSecretConfigs" in change:
        common = {}
    with pytest.raises(ConfigRefusedError, match=reason):
        downstream({**common, **change})


def test_a_secret_that_is_not_there(tmp_path: Path) -> None:
    write_sds(tmp_path, workload("a"))
    with pytest.raises(ConfigRefusedError, match="there is no secret 'other'"):
        downstream({"tlsCertificateSdsSecretConfigs": [sds("other", tmp_path / "sds.yaml")]})


@pytest.mark.parametrize(
    ("kind", "matcher", "good", "bad"),
    [
        ("URI", {"exact": "spiffe://a/ns/x"}, "spiffe://a/ns/x", "spiffe://a/ns/xy"),
        ("URI", {"prefix": "spiffe://a/"}, "spiffe://a/ns/x", "spiffe://ab/"),
        ("URI", {"suffix": "/sa/x"}, "spiffe://a/sa/x", "spiffe://a/sa/xx"),
        ("URI", {"safeRegex": {"regex": "spiffe://[^/]+/x"}}, "spiffe://a/x", "spiffe://a/b/x"),
        ("DNS", {"exact": "a.example.com"}, "*.example.com", "*.com"),
        ("DNS", {"exact": "a.example.com"}, "A.example.com", "a.example.com.evil"),
    ],
)
def test_names(kind: str, matcher: dict[str, Any], good: str, bad: str) -> None:
    raw = {"matchTypedSubjectAltNames": [{"sanType": kind, "matcher": matcher}]}
    matchers = compile_sans(CertificateValidationContext.from_dict(raw))

    def facts(name: str) -> CertificateFacts:
        return CertificateFacts(**{"uri_sans" if kind == "URI" else "dns_sans": (name,)})

    assert accepted(matchers, facts(good))
    assert not accepted(matchers, facts(bad))
    assert not accepted(matchers, CertificateFacts(email_sans=(good,)))
    assert accepted((), CertificateFacts())


def test_facts_of_a_certificate() -> None:
    pair = issue("name", ["spiffe://a/b", "x.test", "y.test"], authority())
    own = (
        downstream(
            {
                "tlsCertificates": [
                    {
                        "certificateChain": {"inlineString": pair.cert_pem},
                        "privateKey": {"inlineString": pair.key_pem},
                    }
                ]
            }
        )
        .loaded()
        .own
    )
    assert own is not None
    assert (own.uri_sans, own.dns_sans) == (("spiffe://a/b",), ("x.test", "y.test"))
    assert own.subject == "CN=name"
    assert own.issuer == "CN=mesh root"
    assert own.pem.startswith("-----BEGIN%20CERTIFICATE-----%0A")
    assert len(own.sha256) == 64
