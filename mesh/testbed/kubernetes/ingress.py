"""Ingress: the address at which the cluster is reached from here, and only that.

``--target URL`` says it; else the Service of the gateway does, once a load balancer has given it
an address (``status.loadBalancer.ingress``).
"""

from __future__ import annotations

from urllib.parse import urlsplit

from mesh.testbed.client import TestbedError
from mesh.testbed.kubernetes.kubectl import Kubectl, KubectlError
from mesh.topology import ROOT_NAMESPACE

_HTTP = 80


def ingress_url(kubectl: Kubectl, name: str, target: str = "") -> str:
    """Return the URL of the ingress gateway; TestbedError with the remedy when there is none."""
    if target:
        return _checked(target)
    try:
        service = kubectl.within(ROOT_NAMESPACE).read("service", name)
    except KubectlError as problem:
        raise TestbedError(
            f"the cluster has no ingress gateway ({problem}): install Istio with it, as "
            "docs/kubernetes.md says"
        ) from None
    given = ((service.get("status") or {}).get("loadBalancer") or {}).get("ingress") or []
    ports = [each["port"] for each in service["spec"].get("ports", ())]
    port = _HTTP if _HTTP in ports or not ports else ports[0]
    for each in given:
        place = each.get("ip") or each.get("hostname")
        if place:
            host = f"[{place}]" if ":" in place else place
            return f"http://{host}" if port == _HTTP else f"http://{host}:{port}"
    raise TestbedError(
        f"the Service {name} has no address outside of the cluster: run `kubectl --namespace "
        f"{ROOT_NAMESPACE} port-forward service/{name} 8080:{port}` beside this, and add "
        "--target http://127.0.0.1:8080"
    )


def _checked(target: str) -> str:
    try:
        url = urlsplit(target)
        sound = url.scheme == "http" and url.hostname and url.path in ("", "/") and not url.query
        sound = sound and (url.port is None or url.port > 0)
    except ValueError:
        sound = False
    if not sound:
        raise TestbedError(
            f"the target is the gateway's address, such as http://203.0.113.7, not {target!r}"
        )
    return target.rstrip("/")
