"""What a DestinationRule SIMPLE or MUTUAL becomes, by era and by who executes it."""

from __future__ import annotations

import base64
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from mesh.istio import has_errors, load_text
from mesh.istio.eras import ISTIO_1_0, ISTIO_1_9, ISTIO_1_28
from mesh.istio.models.destination_rule import ClientTLSSettings
from mesh.pilot.translate.originated_tls import NOBODY, socket
from mesh.pilot.translate.view import MeshView

Make = Callable[..., MeshView]
HOST = "edition.cnn.com"
MOUNTED = {
    "mode": "MUTUAL",
    "clientCertificate": "/etc/certs/cert-chain.pem",
    "privateKey": "/etc/certs/key.pem",
    "caCertificates": "/etc/certs/root-cert.pem",
}


def context(view: MeshView, host: str = HOST, **fields: Any) -> dict[str, Any]:
    tls = ClientTLSSettings.model_validate({"mode": "SIMPLE", **fields})
    made = socket(view, tls, host, http2=False).typed_config
    assert made is not None
    found = made.unpack().to_dict()
    return {"sni": found.get("sni", ""), **found["commonTlsContext"]}


def sans(found: dict[str, Any]) -> list[str]:
    validation = found["validationContext"]
    return [each["matcher"]["exact"] for each in validation.get("matchTypedSubjectAltNames", [])]


def test_from_1_21_on_the_host_is_verified(view: Make) -> None:
    found = context(view(system_roots="/roots.pem"))
    assert found["sni"] == HOST
    assert found["validationContext"]["trustedCa"] == {"filename": "/roots.pem"}
    assert sans(found) == [HOST]
    assert context(view(), caCertificates="system")["validationContext"]["trustedCa"]
    told = context(view(), caCertificates="/own.pem", sni="a.test", subjectAltNames=["b.test"])
    assert (told["sni"], sans(told)) == ("a.test", ["b.test"])
    assert told["validationContext"]["trustedCa"] == {"filename": "/own.pem"}
    assert context(view(), "*.cnn.com")["sni"] == ""


def test_nobody_is_verified_who_need_not(view: Make) -> None:
    assert "validationContext" not in context(view(), insecureSkipVerify=True)
    old = context(view(era=ISTIO_1_9))
    assert (old["sni"], "validationContext" in old) == ("", False)
    chain_only = context(view(era=ISTIO_1_9), caCertificates="/own.pem")
    assert sans(chain_only) == []


def test_files_that_istio_mounted_until_1_4(view: Make) -> None:
    own = "spiffe://cluster.local/ns/istio-system/sa/x"
    found = context(view(era=ISTIO_1_0), **MOUNTED, subjectAltNames=[own])
    assert found["tlsCertificateSdsSecretConfigs"][0]["name"] == "default"
    combined = found["combinedValidationContext"]
    assert combined["validationContextSdsSecretConfig"]["name"] == "ROOTCA"
    assert own in str(combined["defaultValidationContext"])
    later = context(view(era=ISTIO_1_9), **MOUNTED)
    assert later["tlsCertificates"][0]["privateKey"] == {"filename": "/etc/certs/key.pem"}


@pytest.mark.parametrize("mode", ["SIMPLE", "MUTUAL"])
def test_a_gateway_has_it_in_a_secret(mode: str, view: Make) -> None:
    entries = {"tls.crt": "chain", "tls.key": "key", "ca.crt": "roots"}
    data = "".join(
        f"  {name}: {base64.b64encode(text.encode()).decode()}\n" for name, text in entries.items()
    )
    text = f"apiVersion: v1\nkind: Secret\nmetadata: {{name: cnn}}\ndata:\n{data}"
    loaded = load_text(text, "s.yaml", era=ISTIO_1_28, namespace="istio-system")
    assert not has_errors(loaded.problems)
    plain = view()
    router = replace(plain, resources=tuple(loaded.resources), client="istio-system", router=True)
    found = context(router, mode=mode, credentialName="cnn")
    roots = base64.b64encode(b"roots").decode()
    assert found["validationContext"]["trustedCa"] == {"inlineBytes": roots}
    assert ("tlsCertificates" in found) == (mode == "MUTUAL")
    missing = context(router, mode=mode, credentialName="other")
    assert missing["validationContext"]["verifyCertificateHash"] == [NOBODY]
    sidecar = context(replace(router, router=False), mode=mode, credentialName="cnn")
    assert "filename" in sidecar["validationContext"]["trustedCa"]
