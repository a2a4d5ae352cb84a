"""PeerAuthentication: whether a sidecar accepts callers without mTLS.

STRICT refuses plain text, PERMISSIVE (the effective default) takes both, DISABLE wants none; the
workload's policy wins over the namespace's, and that over the mesh's (root namespace).
Fields: istio/api ``security/v1beta1/peer_authentication.proto``.
Shown by ``meshctl describe pod POD``.
"""

from __future__ import annotations

from typing import Literal

from mesh.istio.models.base import LabelSelector, Model


class MutualTLS(Model):
    """The mode."""

    mode: Literal["UNSET", "DISABLE", "PERMISSIVE", "STRICT"] | None = None


class PeerAuthentication(Model):
    """``spec`` of a PeerAuthentication; the keys of ``portLevelMtls`` are port numbers."""

    selector: LabelSelector | None = None
    mtls: MutualTLS | None = None
    port_level_mtls: dict[str, MutualTLS] | None = None
