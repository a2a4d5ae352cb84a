"""Policy and MeshPolicy: mTLS as Istio 1.0 to 1.5 had it (``authentication.istio.io/v1alpha1``).

``peers: [{mtls: {}}]`` is STRICT, ``mode: PERMISSIVE`` (or ``allowTls``) takes plain text too; a
policy without ``mtls`` among its peers turns mTLS off.  The narrower one counts: with ``targets``
(services, and ports of them), the namespace's ``default``, the MeshPolicy ``default``.
The client's half is a DestinationRule with ISTIO_MUTUAL: forgetting it breaks every call (503).
Source: istio/istio 1.4 ``pilot/pkg/model/config.go`` (AuthenticationPolicyForWorkload).
Shown by ``meshctl proxy-config listener POD``.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from mesh.istio.models import legacy_authentication as legacy
from mesh.pilot.translate.view import MeshView


def effective(
    view: MeshView, namespace: str, services: Iterable[str], port: int
) -> legacy.Policy | None:
    """Return the policy that holds for a port of a workload; None when there is none."""
    own = set(services)
    mesh: legacy.Policy | None = None
    whole: legacy.Policy | None = None
    for each in view.of_kind("MeshPolicy"):
        mesh = mesh or each.spec
    for each in view.of_kind("Policy", namespace):
        spec: legacy.Policy = each.spec
        if not spec.targets:
            whole = whole or spec
        elif any(_targets(view, target, namespace, own, port) for target in spec.targets):
            return spec
    return whole or mesh


def _targets(
    view: MeshView, target: legacy.TargetSelector, namespace: str, services: set[str], port: int
) -> bool:
    for hostname in services:
        if hostname.split(".")[:2] != [target.name, namespace]:
            continue
        if not target.ports:
            return True
        named = view.registry.port(hostname, port)
        if any(
            each.number == port or (named is not None and each.name == named.name)
            for each in target.ports
        ):
            return True
    return False


def mode(
    view: MeshView, namespace: str, services: Iterable[str], port: int
) -> Literal["DISABLE", "PERMISSIVE", "STRICT"] | None:
    """Return what a Policy or MeshPolicy says about a port; None when there is none."""
    found = effective(view, namespace, services, port)
    if found is None:
        return None
    for peer in found.peers or []:
        if peer.mtls is not None:
            lax = peer.mtls.mode == "PERMISSIVE" or peer.mtls.allow_tls or found.peer_is_optional
            return "PERMISSIVE" if lax else "STRICT"
    return "DISABLE"
