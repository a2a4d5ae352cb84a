"""Policy and MeshPolicy: mTLS and tokens as Istio 1.0 to 1.5 had them.

``peers: [{mtls: {}}]`` is today's PeerAuthentication STRICT, ``origins`` is today's
RequestAuthentication.  A Policy ``default`` without targets holds for its namespace, the
MeshPolicy ``default`` for the mesh.
Fields: istio/api 1.4.0 ``authentication/v1alpha1/policy.proto``.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import model_validator

from mesh.istio.models.base import Model, StringMap, StringMatch, UInt32


class MutualTls(Model):
    """mTLS; STRICT when no mode is given."""

    allow_tls: bool | None = None
    mode: Literal["STRICT", "PERMISSIVE"] | None = None


class TriggerRule(Model):
    """For which paths a token is asked."""

    excluded_paths: list[StringMatch] | None = None
    included_paths: list[StringMatch] | None = None


class Jwt(Model):
    """An issuer of tokens."""

    issuer: str | None = None
    audiences: list[str] | None = None
    jwks_uri: str | None = None
    jwks: str | None = None
    jwt_headers: list[str] | None = None
    jwt_params: list[str] | None = None
    trigger_rules: list[TriggerRule] | None = None


class PeerAuthenticationMethod(Model):
    """One way to prove who calls; ``- mtls:`` with nothing behind it means STRICT."""

    mtls: MutualTls | None = None
    jwt: Jwt | None = None

    @model_validator(mode="before")
    @classmethod
    def _null_is_not_set(cls, data: Any) -> Any:
        if isinstance(data, dict) and data.get("mtls", "") is None:
            return {**data, "mtls": {}}
        return data


class OriginAuthenticationMethod(Model):
    """One way for the end user to prove who asks."""

    jwt: Jwt | None = None


class TargetPort(Model):
    """A port of a target."""

    number: UInt32 | None = None
    name: str | None = None


class TargetSelector(Model):
    """A service that the policy is for."""

    name: str
    labels: StringMap | None = None
    ports: list[TargetPort] | None = None


class Policy(Model):
    """``spec`` of a Policy or MeshPolicy."""

    targets: list[TargetSelector] | None = None
    peers: list[PeerAuthenticationMethod] | None = None
    peer_is_optional: bool | None = None
    origins: list[OriginAuthenticationMethod] | None = None
    origin_is_optional: bool | None = None
    principal_binding: Literal["USE_PEER", "USE_ORIGIN"] | None = None
