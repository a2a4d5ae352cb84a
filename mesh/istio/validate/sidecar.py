"""The rules of Sidecar: listeners, hosts, the outbound policy.

Source: istio/istio ``pkg/config/validation/validation.go`` ValidateSidecar.
"""

from __future__ import annotations

from mesh.istio.models.gateway import Port
from mesh.istio.models.sidecar import (
    IstioEgressListener,
    IstioIngressListener,
    OutboundTrafficPolicy,
    Sidecar,
)
from mesh.istio.validate import names
from mesh.istio.validate.destination_rule import check_connection_pool
from mesh.istio.validate.destinations import check_destination
from mesh.istio.validate.findings import Findings, Steps
from mesh.istio.validate.gateway import check_server_tls

_UNIQUE = "sidecar: ports on IP bound listeners must be unique"


def check_sidecar(spec: Sidecar, found: Findings) -> None:
    """Check a Sidecar."""
    if spec.workload_selector is not None:
        here: Steps = ("spec", "workloadSelector", "labels")
        found.selector(here, spec.workload_selector.labels, "sidecar")
    empty = not spec.egress and not spec.ingress
    if empty and spec.outbound_traffic_policy is None and spec.inbound_connection_pool is None:
        text = "sidecar: empty configuration provided"
        found.error(("spec",), text, expected="egress, ingress, outboundTrafficPolicy")
        return
    seen: set[int] = set()
    for index, ingress in enumerate(spec.ingress or []):
        _check_ingress(ingress, ("spec", "ingress", index), seen, found)
    if spec.inbound_connection_pool is not None:
        here = ("spec", "inboundConnectionPool")
        check_connection_pool(spec.inbound_connection_pool, here, found)
    _check_egress_listeners(spec.egress or [], found)
    if spec.outbound_traffic_policy is not None:
        _check_outbound(spec.outbound_traffic_policy, found)


def _check_port(
    port: Port, bind: str | None, path: Steps, found: Findings, *, inbound: bool = False
) -> None:
    if port.name:
        found.check((*path, "port", "name"), names.port_name_error(port.name))
    found.check((*path, "port", "protocol"), names.protocol_error(port.protocol))
    if port.target_port:
        found.error((*path, "port", "targetPort"), "targetPort has no impact on Sidecars")
    unix = bool(bind) and str(bind).startswith("unix://")
    if port.number or inbound:
        found.port((*path, "port", "number"), port.number)
    elif not unix:
        text = "sidecar: ports with 0 value must have a unix domain socket bind address"
        found.error((*path, "port", "number"), text)
    if unix and not inbound and not port.number:
        found.check((*path, "bind"), names.unix_error(str(bind).removeprefix("unix://")))
    elif bind and not names.is_ip(bind):
        found.error((*path, "bind"), f"{bind} is not a valid IP")


def _check_ingress(
    listener: IstioIngressListener, path: Steps, seen: set[int], found: Findings
) -> None:
    number = listener.port.number or 0
    _check_port(listener.port, listener.bind, path, found, inbound=True)
    if number in seen:
        found.error((*path, "port", "number"), _UNIQUE)
    seen.add(number)
    endpoint = listener.default_endpoint or ""
    here: Steps = (*path, "defaultEndpoint")
    if endpoint.startswith("unix://"):
        found.check(here, names.unix_error(endpoint.removeprefix("unix://")))
    elif not endpoint and found.era.release < (1, 15):
        text = "sidecar: defaultEndpoint must be of form 127.0.0.1:<port> or 0.0.0.0:<port>"
        found.error(path, text, expected="defaultEndpoint")
    elif endpoint:
        host, _, port = endpoint.rpartition(":")
        if host not in ("", "127.0.0.1", "0.0.0.0", "[::1]", "[::]"):
            text = (
                "sidecar: defaultEndpoint must be of form 127.0.0.1:<port>,0.0.0.0:<port>,"
                "[::1]:port,[::]:port,unix://filepath or unset"
            )
            found.error(here, text)
        if not (port.isascii() and port.isdecimal() and len(port) < 10):
            found.error(here, f"sidecar: defaultEndpoint port ({port}) is not a number")
        else:
            found.port(here, int(port))
    if listener.tls is not None:
        tls, place = listener.tls, (*path, "tls")
        if tls.subject_alt_names:
            text = "sidecar: subjectAltNames is not supported in ingress tls"
            found.error((*place, "subjectAltNames"), text)
        if tls.https_redirect:
            found.error((*place, "httpsRedirect"), "sidecar: httpsRedirect is not supported")
        if tls.credential_name:
            text = "sidecar: credentialName is not currently supported"
            found.error((*place, "credentialName"), text)
        if tls.credential_names:
            text = "sidecar: credentialNames is not currently supported"
            found.error((*place, "credentialNames"), text)
        if tls.tls_certificates:
            text = "sidecar: tls_certificates is not currently supported"
            found.error((*place, "tlsCertificates"), text)
        if not names.is_tls(listener.port.protocol) and found.era.release >= (1, 15):
            text = "server cannot have TLS settings for non HTTPS/TLS ports"
            found.error(place, text, "Set `port.protocol: HTTPS`.")
        if tls.mode in ("ISTIO_MUTUAL", "AUTO_PASSTHROUGH"):
            text = f"configuration is invalid: cannot set mode to {tls.mode} in sidecar ingress tls"
            found.error((*place, "mode"), text)
        check_server_tls(tls, place, found)
    if listener.connection_pool is not None:
        check_connection_pool(listener.connection_pool, (*path, "connectionPool"), found)
        plain = not names.is_http(listener.port.protocol)
        if listener.connection_pool.http and plain and found.era.release >= (1, 22):
            text = (
                f"sidecar: HTTP connection pool settings are configured for port {number} "
                f'("{listener.port.name or ""}") but its protocol is not HTTP '
                f"({listener.port.protocol or ''}); only TCP settings will apply"
            )
            found.warning((*path, "connectionPool", "http"), text)


def _check_egress_listeners(listeners: list[IstioEgressListener], found: Findings) -> None:
    seen: set[int] = set()
    sockets: set[str] = set()
    for index, listener in enumerate(listeners):
        path: Steps = ("spec", "egress", index)
        if listener.port is None:
            if index < len(listeners) - 1:
                text = (
                    "sidecar: the egress listener with empty port should be the last listener in "
                    "the list"
                )
                found.error(path, text)
        else:
            _check_port(listener.port, listener.bind, path, found)
            number = listener.port.number or 0
            bind = listener.bind or ""
            if number and number in seen:
                found.error((*path, "port", "number"), _UNIQUE)
            elif not number and bind in sockets:
                text = "sidecar: unix domain socket values for listeners must be unique"
                found.error((*path, "bind"), text)
            elif not number and listener.capture_mode == "IPTABLES":
                text = "sidecar: captureMode must be DEFAULT/NONE for unix domain socket listeners"
                found.error((*path, "captureMode"), text)
            seen.add(number)
            sockets.add(bind)
        if not listener.hosts:
            text = "sidecar: egress listener must contain at least one host"
            found.error((*path, "hosts"), text, expected="namespace/dnsName")
        _check_hosts(listener.hosts, path, found)


def _check_hosts(hosts: list[str], path: Steps, found: Findings) -> None:
    seen: dict[str, set[str]] = {}
    for index, host in enumerate(hosts):
        here: Steps = (*path, "hosts", index)
        namespace, slash, name = host.partition("/")
        if slash:
            space = found.resource.namespace if namespace == "." else namespace
            known = seen.setdefault(space, set())
            if name in known or "*" in known or (name == "*" and known):
                found.warning(here, f"duplicated egress host: {host}")
            known.add(name)
        hint = "`./*` is this namespace, `istio-system/*` another one, `*/*` all."
        found.check(here, names.namespaced_host_error(host, gateway=False), hint)
    if "*" in seen.get("*", set()) and len(seen) > 1:
        text = "`*/*` host select all resources, no other hosts can be added"
        found.warning((*path, "hosts"), text)


def _check_outbound(policy: OutboundTrafficPolicy, found: Findings) -> None:
    path: Steps = ("spec", "outboundTrafficPolicy", "egressProxy")
    proxy = policy.egress_proxy
    if proxy is None:
        return
    if policy.mode != "ALLOW_ANY":
        text = "sidecar: egress_proxy must be set only with ALLOW_ANY outbound_traffic_policy mode"
        found.error(path, text)
        return
    found.check((*path, "host"), names.fqdn_error(proxy.host))
    if proxy.port is None:
        found.error(path, "sidecar: egress_proxy port must be non-nil", expected="port.number")
        return
    check_destination(proxy, path, found)
