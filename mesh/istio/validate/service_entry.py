"""The rules of ServiceEntry, WorkloadEntry and WorkloadGroup.

Source: istio/istio ``pkg/config/validation/validation.go`` ValidateServiceEntry,
validateWorkloadEntry, validateReadinessProbe.
"""

from __future__ import annotations

from mesh.istio.models.service_entry import ServiceEntry, ServicePort
from mesh.istio.models.workload_entry import WorkloadEntry
from mesh.istio.models.workload_group import WorkloadGroup
from mesh.istio.validate import names
from mesh.istio.validate.findings import Findings, Steps


def check_service_entry(spec: ServiceEntry, found: Findings) -> None:
    """Check a ServiceEntry."""
    if spec.workload_selector is not None:
        here: Steps = ("spec", "workloadSelector", "labels")
        found.selector(here, spec.workload_selector.labels, "service entry")
        if spec.endpoints is not None:
            text = "only one of WorkloadSelector or Endpoints is allowed in Service Entry"
            found.error(("spec", "endpoints"), text)
    if not spec.hosts:
        found.error(("spec", "hosts"), "service entry must have at least one host")
    for index, host in enumerate(spec.hosts):
        text = "invalid host *" if host == "*" else names.domain_error(host)
        found.check(("spec", "hosts", index), text)
        wide = host.count("*") and host != "*" and not host.startswith("*.")
        if wide and spec.resolution != "DYNAMIC_DNS" and found.era.release >= (1, 18):
            found.warning(("spec", "hosts", index), f'partial wildcard "{host}" not allowed')
    resolution = spec.resolution or "NONE"
    for index, address in enumerate(spec.addresses or []):
        path: Steps = ("spec", "addresses", index)
        found.check(path, names.subnet_error(address))
        if "/" in address and resolution not in ("NONE", "STATIC"):
            text = "CIDR addresses are allowed only for NONE/STATIC resolution types"
            found.error(path, text)
    _check_ports(spec.ports or [], resolution, found)
    if not spec.addresses and not _allocated(resolution, found):
        for index, port in enumerate(spec.ports or ()):
            if port.protocol in (None, "", "TCP"):
                text = (
                    "addresses are required for ports serving TCP (or unset) protocol when IP "
                    "Autoallocation is not enabled"
                )
                found.warning(("spec", "ports", index), text, "Add `addresses:`.")
    _check_resolution(spec, resolution, found)
    found.export_to(spec.export_to, private=True)


def _allocated(resolution: str, found: Findings) -> bool:
    """True when the control plane gives the hosts an address, as it does since 1.25."""
    if found.era.release < (1, 25):
        return found.era.release < (1, 15)  # nothing was said about it before
    said = found.resource.labels.get("networking.istio.io/enable-autoallocate-ip", "")
    return resolution != "NONE" and said.lower() != "false"


def _check_ports(ports: list[ServicePort], resolution: str, found: Findings) -> None:
    seen: set[str | int] = set()
    for index, port in enumerate(ports):
        path: Steps = ("spec", "ports", index)
        if port.name in seen:
            text = f'service entry port name "{port.name}" already defined'
            found.error((*path, "name"), text)
        if port.number in seen:
            found.error((*path, "number"), f"service entry port {port.number} already defined")
        seen |= {port.name, port.number}
        found.check((*path, "name"), names.port_name_error(port.name))
        found.check((*path, "protocol"), names.protocol_error(port.protocol))
        found.port((*path, "number"), port.number)
        if port.target_port:
            found.port((*path, "targetPort"), port.target_port)
            if resolution == "NONE" and (1, 22) <= found.era.release < (1, 25):
                text = "targetPort has no effect when resolution mode is NONE"
                found.warning((*path, "targetPort"), text)


def _check_resolution(spec: ServiceEntry, resolution: str, found: Findings) -> None:
    endpoints, hosts = spec.endpoints or [], spec.hosts
    ports = {port.name for port in spec.ports or []}
    if resolution == "NONE":
        if endpoints:
            text = "no endpoints should be provided for resolution type none"
            found.error(("spec", "endpoints"), text, "Set `resolution: STATIC` or `DNS`.")
        if spec.workload_selector is not None:
            text = "workloadSelector should not be set when resolution mode is NONE"
            found.warning(("spec", "workloadSelector"), text)
    else:
        for index, endpoint in enumerate(endpoints):
            here: Steps = ("spec", "endpoints", index)
            if resolution != "STATIC" and (endpoint.address or "").startswith("unix://"):
                text = f'endpoint address "{endpoint.address}" is not a valid FQDN or an IP address'
                found.error((*here, "address"), text, "`resolution: STATIC` takes sockets.")
                continue
            check_entry(endpoint, here, ports, resolution != "STATIC", found)
    if resolution in ("DNS", "DNS_ROUND_ROBIN"):
        for index, host in enumerate(hosts):
            wrong = names.fqdn_error(host)
            if not endpoints and wrong:
                text = f"if no endpoints are provided for resolution mode {resolution}"
                if found.era.release >= (1, 28):
                    text = f"hosts must be FQDN or contain only prefix wildcards {text}, {wrong}"
                else:
                    text = f"hosts must be FQDN {text}"
                found.error(("spec", "hosts", index), text)
        if resolution == "DNS_ROUND_ROBIN" and len(endpoints) > 1:
            text = f"there must only be 0 or 1 endpoint for resolution mode {resolution}"
            found.error(("spec", "endpoints"), text)
        if spec.workload_selector is not None and found.era.release < (1, 26):
            text = f"workloadSelector should not be set when resolution mode is {resolution}"
            found.warning(("spec", "workloadSelector"), text)
        tcp = [each for each in spec.ports or () if names.is_tcp(each.protocol)]
        if spec.addresses and tcp and len(hosts) > 1 and found.era.release >= (1, 12):
            text = (
                "service entry can not have more than one host specified simultaneously with "
                "address and tcp port"
            )
            found.warning(("spec", "addresses"), text, "Write a ServiceEntry for each host.")
    if resolution == "DYNAMIC_DNS":
        _check_dynamic(spec, found)
    if resolution != "NONE" and len(hosts) > 1:
        for index, port in enumerate(spec.ports or []):
            if not names.is_http(port.protocol) and not names.is_tls(port.protocol):
                text = "multiple hosts provided with non-HTTP, non-TLS ports"
                found.error(("spec", "ports", index), text)
                break


def _check_dynamic(spec: ServiceEntry, found: Findings) -> None:
    """Check ``resolution: DYNAMIC_DNS``: the host of each request is looked up."""
    for index, host in enumerate(spec.hosts):
        if not host.startswith("*"):
            text = "host must be wildcarded for resolution mode DYNAMIC_DNS"
            found.error(("spec", "hosts", index), text)
    if spec.addresses:
        text = (
            "addresses cannot be set for resolution type DYNAMIC_DNS. HTTP route domains will only "
            "be generated from the hosts field values"
        )
        found.error(("spec", "addresses"), text)
    if spec.endpoints:
        text = (
            "endpoints cannot be set for resolution type DYNAMIC_DNS. Destination IP address "
            "determined from hosts field values"
        )
        found.error(("spec", "endpoints"), text)
    for index, port in enumerate(spec.ports or ()):
        if (port.protocol or "").upper() != "HTTP":
            text = "only HTTP protocol is supported for resolution type DYNAMIC_DNS"
            found.error(("spec", "ports", index), text, expected="HTTP")
    if spec.location == "MESH_INTERNAL":
        text = "location must be MESH_EXTERNAL for resolution type DYNAMIC_DNS"
        found.error(("spec", "location"), text, expected="MESH_EXTERNAL")


def check_entry(
    entry: WorkloadEntry, path: Steps, ports: set[str] | None, domains: bool, found: Findings
) -> None:
    """Check an endpoint; ``ports`` are the service's, ``domains`` allows host names."""
    address = entry.address or ""
    if not address:
        if not entry.network:
            found.error((*path, "address"), "address is required")
            return
        found.warning(path, f'address is unset with network "{entry.network}"')
    if address.startswith("unix://"):
        found.check((*path, "address"), names.unix_error(address.removeprefix("unix://")))
        if entry.ports:
            text = f"unix endpoint {address} must not include ports"
            found.error((*path, "ports"), text)
        if ports is not None and len(ports) != 1:
            found.error(path, "exactly 1 service port required for unix endpoints")
    elif address and not names.is_ip(address):
        if not domains:
            text = f'endpoint address "{address}" is not a valid IP address'
            found.error((*path, "address"), text, "`resolution: STATIC` wants an address.")
        elif names.fqdn_error(address):
            text = f'endpoint address "{address}" is not a valid FQDN or an IP address'
            found.error((*path, "address"), text)
    for name, number in (entry.ports or {}).items():
        here: Steps = (*path, "ports", name)
        if ports is not None and name not in ports:
            found.error(here, f"endpoint port {number} is not defined by the service entry")
        found.check(here, names.port_name_error(name))
        found.port(here, number)
    found.labels((*path, "labels"), entry.labels)


def check_workload_entry(spec: WorkloadEntry, found: Findings) -> None:
    """Check a WorkloadEntry."""
    check_entry(spec, ("spec",), None, True, found)


def check_workload_group(spec: WorkloadGroup, found: Findings) -> None:
    """Check a WorkloadGroup."""
    if spec.metadata is not None:
        found.labels(("spec", "metadata", "labels"), spec.metadata.labels)
    probe, path = spec.probe, ("spec", "probe")
    if probe is None:
        return
    if not (probe.http_get or probe.tcp_socket or probe.exec or probe.grpc):
        text = "unknown health check method"
        found.error(path, text, "Say how to ask.", "httpGet, tcpSocket, exec, grpc")
    for field, value in (
        ("periodSeconds", probe.period_seconds),
        ("initialDelaySeconds", probe.initial_delay_seconds),
        ("timeoutSeconds", probe.timeout_seconds),
        ("successThreshold", probe.success_threshold),
        ("failureThreshold", probe.failure_threshold),
    ):
        if value is not None and value < 0:
            found.error((*path, field), f"{field} must be non-negative")
    if probe.http_get is not None:
        here = (*path, "httpGet")
        found.port((*here, "port"), probe.http_get.port)
        if probe.http_get.scheme not in (None, "", "HTTP", "HTTPS"):
            found.error((*here, "scheme"), 'httpGet.scheme must be one of "HTTPS", "HTTP"')
    if probe.tcp_socket is not None:
        found.port((*path, "tcpSocket", "port"), probe.tcp_socket.port)
    if probe.exec is not None and not probe.exec.command:
        found.error((*path, "exec", "command"), "exec.command is required")
