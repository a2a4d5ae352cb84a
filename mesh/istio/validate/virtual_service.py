"""The rules of VirtualService; those of its HTTP rules are in ``http_route``.

Source: istio/istio ``pkg/config/validation/validation.go`` ValidateVirtualService.
"""

from __future__ import annotations

from mesh.istio.models.virtual_service import (
    L4MatchAttributes,
    TLSMatchAttributes,
    VirtualService,
)
from mesh.istio.validate import names
from mesh.istio.validate.destinations import check_destinations, check_gateway_name
from mesh.istio.validate.findings import Findings, Steps
from mesh.istio.validate.http_route import check_http_route

MAX_COMPARED = 500  # hosts compared with each other; the comparison is quadratic


def check_virtual_service(spec: VirtualService, found: Findings) -> None:
    """Check hosts, gateways and every rule."""
    hosts = spec.hosts or []
    if not hosts:
        _check_delegate(spec, found)
    for index, name in enumerate(spec.gateways or []):
        check_gateway_name(name, ("spec", "gateways", index), found)
    in_mesh = not spec.gateways or "mesh" in spec.gateways
    passed = not in_mesh and any(match.sni_hosts for tls in spec.tls or () for match in tls.match)
    _check_hosts(hosts, in_mesh, passed, found)
    if not (spec.http or spec.tcp or spec.tls):
        text = "http, tcp or tls must be provided in virtual service"
        found.error(("spec",), text, "Add `http:` with at least one `route`.", "http, tcp, tls")
    for index, http in enumerate(spec.http or []):
        check_http_route(http, ("spec", "http", index), not hosts, found)
    if in_mesh:
        _check_claims(spec, found)
    for index, tls in enumerate(spec.tls or []):
        here: Steps = ("spec", "tls", index)
        if not tls.match:
            found.error((*here, "match"), "TLS route must have at least one match condition")
        for number, match in enumerate(tls.match):
            _check_tls_match(match, hosts, passed, (*here, "match", number), found)
        if not tls.route:
            found.error(here, "TLS route is required")
        check_destinations(tls.route or [], (*here, "route"), found)
    for index, tcp in enumerate(spec.tcp or []):
        here = ("spec", "tcp", index)
        for number, condition in enumerate(tcp.match or []):
            _check_l4(condition, (*here, "match", number), found)
        if not tcp.route:
            found.error(here, "TCP route is required")
        check_destinations(tcp.route or [], (*here, "route"), found)
    found.export_to(spec.export_to)


def _check_delegate(spec: VirtualService, found: Findings) -> None:
    if found.era.release < (1, 8):
        found.error(("spec",), "virtual service must have at least one host", "Add `hosts:`.")
        return
    texts = (
        ("gateways", spec.gateways, "gateways specified"),
        ("tls", spec.tls, "tls route specified"),
        ("tcp", spec.tcp, "tcp route specified"),
    )
    for field, value, what in texts:
        if value:
            hint = "Without `hosts:` this is a delegate of another VirtualService; add `hosts:`."
            found.error(("spec", field), f"delegate virtual service must have no {what}", hint)


def _check_hosts(hosts: list[str], in_mesh: bool, passed: bool, found: Findings) -> None:
    valid = True
    for index, host in enumerate(hosts):
        path: Steps = ("spec", "hosts", index)
        if names.is_ip(host):
            continue
        if not found.check(path, _host_error(host, passed, found)):
            valid = False
        elif in_mesh and host == "*":
            text = "wildcard host * is not allowed for virtual services bound to the mesh gateway"
            found.error(path, text, "Name the service, or the gateway under `gateways:`.")
            valid = False
    if not valid:
        return
    for index, host in enumerate(hosts[:MAX_COMPARED]):
        for other in hosts[:index]:
            if names.hosts_overlap(other, host):
                text = f"duplicate hosts in virtual service: {other} & {host}"
                found.error(("spec", "hosts", index), text)


def _host_error(host: str, passed: bool, found: Findings) -> str:
    """Check a host; where a gateway passes TLS on it may be a cluster's (AUTO_PASSTHROUGH)."""
    if passed and host.startswith("outbound_") and found.era.release >= (1, 24):
        return names.cluster_sni_error(host)
    return names.domain_error(host)


def _check_claims(spec: VirtualService, found: Findings) -> None:
    for index, http in enumerate(spec.http or []):
        for number, match in enumerate(http.match or []):
            for field, headers in (
                ("headers", match.headers),
                ("withoutHeaders", match.without_headers),
            ):
                for key in headers or {}:
                    if key.startswith("@request.auth.claims"):
                        gateways = " ".join(spec.gateways or [])
                        text = (
                            f"JWT claim based routing (key: {key}) is only supported for gateway, "
                            f"found no gateways: [{gateways}]"
                        )
                        here: Steps = ("spec", "http", index, "match", number, field, key)
                        found.error(here, text)


def _check_tls_match(
    match: TLSMatchAttributes, hosts: list[str], passed: bool, path: Steps, found: Findings
) -> None:
    if not match.sni_hosts:
        found.error((*path, "sniHosts"), "TLS match must have at least one SNI host")
    for index, sni in enumerate(match.sni_hosts):
        here: Steps = (*path, "sniHosts", index)
        if names.is_ip(sni):
            text = (
                f'using an IP address ("{sni}") goes against SNI spec and most clients do not '
                "support this"
            )
            found.warning(here, text)
        elif found.check(here, _host_error(sni, passed, found)) and not any(
            names.host_within(sni, host) for host in hosts
        ):
            text = (
                f'SNI host "{sni}" is not a compatible subset of any of the virtual service hosts: '
                f"[{', '.join(hosts)}]"
            )
            found.error(here, text)
    _check_l4(match, path, found)


def _check_l4(match: L4MatchAttributes | TLSMatchAttributes, path: Steps, found: Findings) -> None:
    for index, subnet in enumerate(match.destination_subnets or []):
        found.check((*path, "destinationSubnets", index), names.subnet_error(subnet))
    if match.port:
        found.port((*path, "port"), match.port)
    found.labels((*path, "sourceLabels"), match.source_labels)
    for index, name in enumerate(match.gateways or []):
        check_gateway_name(name, (*path, "gateways", index), found)
