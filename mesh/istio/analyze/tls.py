"""IST0128, IST0129: TLS to a server whose certificate nobody checks.

Without ``caCertificates`` the sidecar encrypts, but to whoever answers.
"""

from __future__ import annotations

from collections.abc import Iterator

from mesh.istio.analyze.context import Context
from mesh.istio.models.destination_rule import ClientTLSSettings
from mesh.istio.problem import Level, Problem


def unchecked_servers(context: Context) -> Iterator[Problem]:
    """Check the tls settings of hosts, subsets and ports."""
    for each in context.policies:
        named = f"DestinationRule {each.resource.name} in namespace {each.resource.namespace}"
        host = each.host
        if _unchecked(each.policy.tls):
            yield each.resource.problem(
                "IST0128",
                Level.WARNING,
                f"{named} has TLS mode set to {_mode(each.policy.tls)} but no caCertificates are "
                f"set to validate server identity for host: {host}",
                f"{each.path}.tls",
                hint="Add `caCertificates: /path/to/ca.pem`, or use ISTIO_MUTUAL inside the mesh.",
            )
        for index, port in enumerate(each.policy.port_level_settings or ()):
            if _unchecked(port.tls):
                number = port.port.number if port.port else ""
                yield each.resource.problem(
                    "IST0129",
                    Level.WARNING,
                    f"{named} has TLS mode set to {_mode(port.tls)} but no caCertificates are set "
                    f"to validate server identity for host: {host} at port number:{number}",
                    f"{each.path}.portLevelSettings[{index}].tls",
                    hint="Add `caCertificates: /path/to/ca.pem`.",
                )


def _mode(tls: ClientTLSSettings | None) -> str:
    return (tls.mode if tls else None) or ""


def _unchecked(tls: ClientTLSSettings | None) -> bool:
    return (
        tls is not None
        and tls.mode in ("SIMPLE", "MUTUAL")
        and not (tls.ca_certificates or tls.credential_name or tls.insecure_skip_verify)
    )
