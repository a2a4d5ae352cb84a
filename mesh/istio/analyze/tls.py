"""IST0128, IST0129: TLS to a server for which no ``caCertificates`` say who may have signed it.

Until 1.20 a sidecar then encrypts, but to whoever answers; since 1.21 it believes the authorities of
its system, and Istio's analyzer warns all the same.  It looks at the tls settings of the host and of
its ports, not of subsets; ``credentialName`` counts (since 1.23) only with a ``workloadSelector``,
without which it is for gateways; ``insecureSkipVerify`` does not silence it.
Source: istio/istio 1.9 and 1.28 ``pkg/config/analysis/analyzers/destinationrule/ca-certificates.go``.
"""

from __future__ import annotations

from collections.abc import Iterator

from mesh.istio.analyze.context import Context
from mesh.istio.models.destination_rule import ClientTLSSettings, DestinationRule
from mesh.istio.problem import Level, Problem

VERIFIES_BY_ITSELF, CREDENTIAL_COUNTS = (1, 21), (1, 23)


def unchecked_servers(context: Context) -> Iterator[Problem]:
    """Check the tls settings of hosts and ports."""
    release = context.era.release
    for resource, spec, _ in context.destination_rules():
        policy = spec.traffic_policy
        if policy is None:
            continue
        named = (
            f"DestinationRule {resource.namespace}/{resource.name} in namespace "
            f"{resource.namespace}"
        )
        missing = "but no caCertificates are set to validate server identity for host: " + spec.host
        if _unchecked(policy.tls, spec, release):
            yield resource.problem(
                "IST0128",
                Level.WARNING,
                f"{named} has TLS mode set to {_mode(policy.tls)} {missing}",
                "spec.trafficPolicy.tls",
                hint=_hint(policy.tls, release),
            )
        for index, port in enumerate(policy.port_level_settings or ()):
            if _unchecked(port.tls, spec, release):
                number = port.port.number if port.port else ""
                yield resource.problem(
                    "IST0129",
                    Level.WARNING,
                    f"{named} has TLS mode set to {_mode(port.tls)} {missing} "
                    f"at port number:{number}",
                    f"spec.trafficPolicy.portLevelSettings[{index}].tls",
                    hint=_hint(port.tls, release),
                )


def _mode(tls: ClientTLSSettings | None) -> str:
    return (tls.mode if tls else None) or ""


def _unchecked(
    tls: ClientTLSSettings | None, spec: DestinationRule, release: tuple[int, int]
) -> bool:
    if tls is None or tls.mode not in ("SIMPLE", "MUTUAL") or tls.ca_certificates:
        return False
    named = bool(tls.credential_name) and spec.workload_selector is not None
    return not (named and release >= CREDENTIAL_COUNTS)


def _hint(tls: ClientTLSSettings | None, release: tuple[int, int]) -> str:
    words = "Add `caCertificates: /path/to/ca.pem`, or use ISTIO_MUTUAL inside the mesh."
    if tls is not None and tls.insecure_skip_verify:
        return f"{words} With insecureSkipVerify every server is believed."
    if release >= VERIFIES_BY_ITSELF:
        return f"{words} Without it the system's authorities are believed."
    return f"{words} Without it every server is believed."
