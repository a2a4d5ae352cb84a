"""RequestAuthentication: which end users' tokens (JWT) a sidecar accepts.

A bad token is answered 401; *no* token passes, without an identity: only an AuthorizationPolicy
makes a token necessary.
Fields: istio/api ``security/v1beta1/request_authentication.proto``.
Shown by ``meshctl describe pod POD``.
"""

from __future__ import annotations

from typing import Literal

from mesh.istio.models.base import Duration, LabelSelector, Model, TargetRef


class JWTHeader(Model):
    """A header that carries the token."""

    name: str
    prefix: str | None = None


class ClaimToHeader(Model):
    """Copy a claim into a header for the application."""

    header: str
    claim: str


class JWTRule(Model):
    """One issuer: its keys (``jwks`` or ``jwksUri``) and where its token is found."""

    issuer: str | None = None
    audiences: list[str] | None = None
    jwks_uri: str | None = None
    jwks: str | None = None
    from_headers: list[JWTHeader] | None = None
    from_params: list[str] | None = None
    from_cookies: list[str] | None = None
    output_payload_to_header: str | None = None
    output_claim_to_headers: list[ClaimToHeader] | None = None
    forward_original_token: bool | None = None
    space_delimited_claims: list[str] | None = None
    presence: Literal["OPTIONAL", "REQUIRED"] | None = None
    timeout: Duration | None = None


class RequestAuthentication(Model):
    """``spec`` of a RequestAuthentication."""

    selector: LabelSelector | None = None
    target_ref: TargetRef | None = None
    target_refs: list[TargetRef] | None = None
    jwt_rules: list[JWTRule] | None = None
