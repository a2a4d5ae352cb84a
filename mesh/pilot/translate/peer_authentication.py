"""PeerAuthentication: whether a workload's port wants mutual TLS of its callers.

``mtls.mode``: STRICT refuses plain text, PERMISSIVE takes both, DISABLE speaks plain text only, UNSET
inherits.  The narrower one counts: ``portLevelMtls``, the workload's (``selector``), the namespace's,
the mesh's (root namespace), the era's default: PERMISSIVE, and before automatic mTLS (1.5) DISABLE.
Until 1.5 the kinds Policy and MeshPolicy say it (``mesh.pilot.translate.policy``).
Source: istio/istio ``pilot/pkg/model/authentication.go`` and
``pilot/pkg/security/authn/utils.go`` (ComposePeerAuthentication).
Shown by ``meshctl describe pod POD``; the chains by ``meshctl proxy-config listener POD``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Literal

from mesh.istio.models.peer_authentication import MutualTLS, PeerAuthentication
from mesh.pilot.translate import policy
from mesh.pilot.translate.view import MeshView
from mesh.topology import ROOT_NAMESPACE

Mode = Literal["DISABLE", "PERMISSIVE", "STRICT"]


def mode(
    view: MeshView,
    namespace: str,
    labels: Mapping[str, str],
    services: Iterable[str],
    port: int,
) -> Mode:
    """Return the mode of one port of a workload; ``services``: host names it belongs to."""
    old = policy.mode(view, namespace, services, port)
    if old is not None:
        return old
    found: Mode | None = None
    for each in _broad_to_narrow(view, namespace, labels):
        found = _said(each.mtls) or found
        of_port = (each.port_level_mtls or {}).get(str(port))
        if each.selector is not None:
            found = _said(of_port) or found
    return found or ("PERMISSIVE" if view.era.auto_mtls else "DISABLE")


def _said(mtls: MutualTLS | None) -> Mode | None:
    if mtls is None or mtls.mode is None or mtls.mode == "UNSET":
        return None
    return mtls.mode


def _broad_to_narrow(
    view: MeshView, namespace: str, labels: Mapping[str, str]
) -> list[PeerAuthentication]:
    """Return the policy of the mesh, the namespace, the workload; of several the oldest counts."""
    mesh: list[PeerAuthentication] = []
    whole: list[PeerAuthentication] = []
    own: list[PeerAuthentication] = []
    for each in view.of_kind("PeerAuthentication", namespace, ROOT_NAMESPACE):
        spec: PeerAuthentication = each.spec
        wanted = (spec.selector.match_labels if spec.selector else None) or {}
        if not wanted and each.namespace == ROOT_NAMESPACE:
            mesh.append(spec)
        elif not wanted and each.namespace == namespace:
            whole.append(spec)
        elif wanted and each.namespace == namespace and wanted.items() <= labels.items():
            own.append(spec)
    return [*mesh[:1], *whole[:1], *own[:1]]
