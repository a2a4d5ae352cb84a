"""The rules of the Gateway API's Gateway: its listeners, and what of them this kit opens.

The texts are those of the CustomResourceDefinition's own rules, as ``kubectl apply`` prints them.
Source: kubernetes-sigs/gateway-api ``config/crd/standard`` (gateways).
"""

from __future__ import annotations

from mesh.istio.gateway_api.listeners import CLASS, PLAIN
from mesh.istio.models.gateway_api import KubernetesGateway, Listener
from mesh.istio.validate.findings import NO_EFFECT, Findings, Steps
from mesh.istio.validate.gateway_api import HOSTNAME, invalid, too_many

_WITHOUT_TLS = ("HTTP", "TCP", "UDP")
_KNOWN = ("HTTP", "HTTPS", "TLS", "TCP", "UDP", "HBONE")


def check_kubernetes_gateway(spec: KubernetesGateway, found: Findings) -> None:
    """Check a Gateway of the Gateway API."""
    if spec.gateway_class_name != CLASS:
        text = f'gatewayClassName "{spec.gateway_class_name}": accepted, no effect in this kit'
        hint = f"Write `gatewayClassName: {CLASS}`: Istio's own class for ingress."
        found.info(NO_EFFECT, ("spec", "gatewayClassName"), text, hint)
    path: Steps = ("spec", "listeners")
    if not spec.listeners:
        found.error(("spec",), "spec.listeners: Required value", expected="listeners")
    too_many(found, path, spec.listeners, 64)
    names: set[str] = set()
    places: set[tuple[int, str, str]] = set()
    for index, each in enumerate(spec.listeners or ()):
        here: Steps = (*path, index)
        if each.name in names:
            invalid(found, here, "Listener name must be unique within the Gateway")
        names.add(each.name)
        place = (each.port, each.protocol, each.hostname or "")
        if place in places:
            text = "Combination of port, protocol and hostname must be unique for each listener"
            invalid(found, here, text)
        places.add(place)
        _check_listener(each, here, found)


def _check_listener(each: Listener, path: Steps, found: Findings) -> None:
    found.port((*path, "port"), each.port)
    if each.hostname is not None and not HOSTNAME.match(each.hostname):
        invalid(found, (*path, "hostname"), f"{each.hostname} is no host name")
    if each.protocol in _WITHOUT_TLS and each.tls is not None:
        text = "tls must not be specified for protocols ['HTTP', 'TCP', 'UDP']"
        invalid(found, path, text)
    if each.protocol in ("TCP", "UDP") and each.hostname:
        invalid(found, path, "hostname must not be specified for protocols ['TCP', 'UDP']")
    if each.protocol == "HTTPS" and each.tls is not None and each.tls.mode == "Passthrough":
        invalid(found, path, "tls mode must be Terminate for protocol HTTPS")
    if each.protocol == "TLS" and (each.tls is None or each.tls.mode is None):
        invalid(found, path, "tls mode must be set for protocol TLS")
    if each.protocol not in _KNOWN:
        text = f'protocol "{each.protocol}" is unsupported'
        if each.protocol.upper() in _KNOWN:
            text += f'. hint: "{each.protocol.upper()}" (uppercase) may be supported'
        found.warning((*path, "protocol"), text, expected=", ".join(_KNOWN))
    elif each.protocol not in PLAIN:
        text = f"a listener for {each.protocol}: accepted, no effect in this kit"
        found.info(NO_EFFECT, (*path, "protocol"), text, "Listeners for HTTP are opened.")
