"""SPIFFE ids: the name of a workload, as its certificate and the policies write it.

``spiffe://TRUST_DOMAIN/ns/NAMESPACE/sa/SERVICE_ACCOUNT``; the pod's ``serviceAccountName`` sets the
last part, so two Deployments with the same account are the same caller to every policy.
Source: SPIFFE-ID; istio/istio ``pkg/spiffe/spiffe.go``.
Shown by ``meshctl proxy-config secret POD``.
"""

from __future__ import annotations

from mesh.topology import DOMAIN_SUFFIX

TRUST_DOMAIN = DOMAIN_SUFFIX
SCHEME = "spiffe://"


def spiffe_id(namespace: str, service_account: str) -> str:
    """Return the id of a service account; an empty account is ``default``, as in Kubernetes."""
    account = service_account or "default"
    return f"{SCHEME}{TRUST_DOMAIN}/ns/{namespace}/sa/{account}"
