"""IST0125: what may stand in Istio's annotations of a pod; the injector refuses everything else.

Texts are Istio's (Go's where Go's own readers give them).
Source: istio/istio ``pkg/kube/inject/validate.go``.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable

import yaml

_TRAFFIC = "traffic.sidecar.istio.io"
_READINESS = "readiness.status.sidecar.istio.io"
_MODES = ("REDIRECT", "TPROXY", "NONE")
_TRUE_OR_FALSE = frozenset(
    ["1", "t", "T", "TRUE", "true", "True", "0", "f", "F", "FALSE", "false", "False"]
)
_QUANTITY = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([numkMGTPE]|[KMGTPE]i|[eE][+-]?\d+)?\Z")
_INTERFACE = re.compile(r"[a-zA-Z][a-zA-Z0-9_.-]*\Z")
MAX_INTERFACE = 15


def value_problem(name: str, value: str) -> str:
    """Return what Istio says against the value of an annotation, empty when nothing."""
    check = _CHECKS.get(name)
    return check(value) if check else ""


def _mode(value: str) -> str:
    if value in _MODES:
        return ""
    return f"interceptionMode invalid, use REDIRECT,TPROXY,NONE: {value}"


def _number(text: str, bits: int) -> str:
    if not (text.isascii() and text.isdigit()):
        return f'strconv.ParseUint: parsing "{text}": invalid syntax'
    if int(text[:20]) >= 2**bits:
        return f'strconv.ParseUint: parsing "{text}": value out of range'
    return ""


def _whole(value: str) -> str:
    return _number(value, 32)


def _port(value: str) -> str:
    why = _number(value.strip(), 16)
    return f"failed parsing port '{value}': {why}" if why else ""


def _status_port(value: str) -> str:
    why = _port(value)
    return f"excludeInboundPorts invalid: {why}" if why else ""


def _ports(field: str, *, star: bool = False) -> Callable[[str], str]:
    def check(value: str) -> str:
        if (star and value == "*") or not value.strip():
            return ""
        for each in value.strip().split(","):
            if why := _port(each):
                return f"{field} invalid: failed parsing port '{each}': {why}"
        return ""

    return check


def _ranges(field: str, *, star: bool = False) -> Callable[[str], str]:
    def check(value: str) -> str:
        if (star and value == "*") or not value:
            return ""
        for each in value.split(","):
            try:
                ipaddress.ip_network(each, strict=False)
            except ValueError:
                wrong = True
            else:
                wrong = "/" not in each
            if wrong:
                return f"{field} invalid: failed parsing cidr '{each}': not an address and a length"
        return ""

    return check


def _bool(value: str) -> str:
    if value in _TRUE_OR_FALSE:
        return ""
    return f'strconv.ParseBool: parsing "{value}": invalid syntax'


def _interfaces(value: str) -> str:
    for each in (part.strip() for part in value.split(",") if value):
        if not each:
            return "empty interface name"
        if len(each) > MAX_INTERFACE:
            return f'interface name "{each}" too long (max {MAX_INTERFACE} chars)'
        if not _INTERFACE.match(each):
            return f'interface name "{each}" contains invalid characters'
    return ""


def _quantity(value: str) -> str:
    if _QUANTITY.match(value):
        return ""
    return (
        "quantities must match the regular expression "
        "'^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"
    )


def _proxy_config(value: str) -> str:
    try:
        read = yaml.safe_load(value)
    except yaml.YAMLError:
        return "failed to convert to apply proxy config: it is no YAML"
    if read is not None and not isinstance(read, dict):
        return "failed to convert to apply proxy config: it is no map"
    return ""


_CHECKS: dict[str, Callable[[str], str]] = {
    "sidecar.istio.io/interceptionMode": _mode,
    "status.sidecar.istio.io/port": _status_port,
    f"{_READINESS}/initialDelaySeconds": _whole,
    f"{_READINESS}/periodSeconds": _whole,
    f"{_READINESS}/failureThreshold": _whole,
    f"{_TRAFFIC}/includeOutboundIPRanges": _ranges("includeIPRanges", star=True),
    f"{_TRAFFIC}/excludeOutboundIPRanges": _ranges("excludeIPRanges"),
    f"{_TRAFFIC}/includeInboundPorts": _ports("includeInboundPorts", star=True),
    f"{_TRAFFIC}/excludeInboundPorts": _ports("excludeInboundPorts"),
    f"{_TRAFFIC}/excludeOutboundPorts": _ports("excludeOutboundPorts"),
    f"{_TRAFFIC}/excludeInterfaces": _interfaces,
    f"{_TRAFFIC}/kubevirtInterfaces": _interfaces,
    "istio.io/reroute-virtual-interfaces": _interfaces,
    "prometheus.istio.io/merge-metrics": _bool,
    "proxy.istio.io/config": _proxy_config,
    "sidecar.istio.io/proxyCPU": _quantity,
    "sidecar.istio.io/proxyMemory": _quantity,
    "sidecar.istio.io/proxyCPULimit": _quantity,
    "sidecar.istio.io/proxyMemoryLimit": _quantity,
}
