"""Secrets with certificates for the gateways of cases, made anew for each run."""

from __future__ import annotations

import base64
from datetime import timedelta

from mesh.citadel.authority import key_pem, make_authority, new_key, pem, utc_now

LIFETIME = timedelta(hours=1)
DOCUMENT = """
---
apiVersion: v1
kind: Secret
metadata: {{name: {name}, namespace: {namespace}}}
type: kubernetes.io/tls
data:
  tls.crt: {certificate}
  tls.key: {key}
"""


def secret(name: str, namespace: str, host: str) -> str:
    """Return the YAML of a Secret with a certificate for ``host``, of an authority of its own."""
    now, key = utc_now(), new_key()
    authority = make_authority("conformance", now)
    leaf = authority.sign(key.public_key(), (), now - timedelta(minutes=5), now + LIFETIME, (host,))
    chain = pem(leaf) + pem(authority.issuing)
    return DOCUMENT.format(
        name=name,
        namespace=namespace,
        certificate=base64.b64encode(chain).decode(),
        key=base64.b64encode(key_pem(key)).decode(),
    )
