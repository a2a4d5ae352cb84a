"""IST0113: a client whose DestinationRule says DISABLE, of pods that take only mutual TLS.

What a pod takes is said by port, workload, namespace or mesh.  A service of which a pod has no
sidecar takes plain text whatever the policies say, and is left out.
Source: istio/istio 1.5 ``galley/pkg/config/analysis/analyzers/auth/mtls.go``.
"""

from __future__ import annotations

from collections.abc import Iterator

from mesh.istio.analyze.context import Context, Policy
from mesh.istio.problem import Level, Problem
from mesh.istio.resource import Resource


def conflicts(context: Context) -> Iterator[Problem]:
    """Find clients that are told to speak plain text to pods that take only mTLS."""
    for each in context.policies:
        tls = each.policy.tls
        if tls is None or tls.mode != "DISABLE" or each.host.split(".")[2:3] != ["svc"]:
            continue
        rule = _strict(context, each)
        if rule is None:
            continue
        yield each.resource.problem(
            "IST0113",
            Level.ERROR,
            "A DestinationRule and Policy are in conflict with regards to mTLS for host "
            f'{each.host}. The DestinationRule "{each.resource.namespace}/{each.resource.name}" '
            f"specifies that mTLS must be false but the Policy object "
            f'"{rule.namespace}/{rule.name}" specifies STRICT.',
            f"{each.path}.tls.mode",
            expected="ISTIO_MUTUAL",
            hint="Leave `tls:` out (the sidecar then speaks mTLS by itself), or make the "
            "PeerAuthentication PERMISSIVE.",
        )


def _strict(context: Context, policy: Policy) -> Resource | None:
    """Return what makes a pod behind the policy's host STRICT at a port; None when nothing does."""
    namespace = policy.host.split(".")[1]
    groups = context.groups_of(policy.host, (policy.subset.labels if policy.subset else None) or {})
    carried = [{}] if groups is None else [each.labels for each in groups]
    if any(not (each.in_mesh or each.ambient) for each in groups or ()):
        return None
    settings = policy.policy.port_level_settings or ()
    own = {each.port.number for each in settings if each.port and each.tls}
    known = context.services.get(policy.host, ())
    ports: list[int | None] = [port for port in known if port not in own]
    for labels in carried:
        for port in ports if known else [None]:
            mode, rule = context.peer_modes.mode(namespace, labels, port)
            if mode == "STRICT":
                return rule
    return None
