"""Provider: one issuer of tokens: its keys, its audiences, and what becomes of its claims.

One entry of ``jwtRules`` in a RequestAuthentication: ``issuer``, ``audiences``, ``jwks``,
``outputPayloadToHeader``, ``outputClaimToHeaders``, ``forwardOriginalToken``.
See it with ``meshctl proxy-config listeners POD -o json``.

Source: Envoy ``api/envoy/extensions/filters/http/jwt_authn/v3/config.proto`` (JwtProvider),
``authenticator.cc``.
"""

from __future__ import annotations

from typing import Any

from envoy_data_plane.envoy.config.core.v3 import DataSource
from envoy_data_plane.envoy.extensions.filters.http.jwt_authn.v3 import JwtProvider

from mesh.sidecar.filters.jwt import CLOCK_SKEW, Jwt, read_keys

_UNKNOWN = ("subjects", "remote_jwks", "header_in_metadata", "failed_status_in_metadata")


class Provider:
    """A compiled JwtProvider."""

    def __init__(self, config: JwtProvider) -> None:
        """Compile ``config``; ValueError for what cannot be executed, or a set without a key."""
        for name in (*_UNKNOWN, "require_expiration", "max_lifetime"):
            if getattr(config, name):
                raise ValueError(f"jwt_authn: {name} cannot be executed")
        self.issuer = config.issuer
        self.keys = read_keys(_text(config.local_jwks))
        self.forward = config.forward
        self.metadata_key = config.payload_in_metadata
        self.skew = config.clock_skew_seconds or CLOCK_SKEW
        self._audiences = frozenset(_plain(each) for each in config.audiences)
        self._payload_header = config.forward_payload_header
        self._pad = config.pad_forward_payload_header
        self._claims = [(each.header_name, each.claim_name) for each in config.claim_to_headers]
        normalize = config.normalize_payload_in_metadata
        self._split = frozenset(normalize.space_delimited_claims) if normalize else frozenset()

    def for_us(self, token: Jwt, audiences: frozenset[str] | None) -> bool:
        """Whether the token is meant for one of our audiences; without any, all are."""
        if audiences is None:
            wanted = self._audiences
        else:
            wanted = frozenset(_plain(each) for each in audiences)
        return not wanted or any(_plain(each) in wanted for each in token.audiences)

    def headers(self, token: Jwt) -> list[tuple[str, str]]:
        """Return the headers that a good token adds."""
        found: list[tuple[str, str]] = []
        if self._payload_header:
            text = token.payload_text
            if self._pad:
                text += "=" * (-len(text) % 4)
            found.append((self._payload_header, text))
        for header, path in self._claims:
            value: Any = token.claims
            for name in path.split("."):
                value = value.get(name) if isinstance(value, dict) else None
            text = _written(value)
            if text:
                found.append((header, text))
        return found

    def normalized(self, token: Jwt) -> dict[str, Any]:
        """Return the claims for policies; those that list words in one text become lists."""
        if not self._split:
            return token.claims
        return {
            name: value.split() if name in self._split and isinstance(value, str) else value
            for name, value in token.claims.items()
        }


def _text(source: DataSource | None) -> str:
    if source is None:
        raise ValueError("jwt_authn: only local_jwks can be executed")
    if source.inline_string:
        return source.inline_string
    if source.inline_bytes:
        return source.inline_bytes.decode()
    raise ValueError("jwt_authn: local_jwks needs an inline_string")


def _plain(audience: str) -> str:
    """Return an audience without scheme and last slash, which Envoy does not compare."""
    bare = audience.removeprefix("https://").removeprefix("http://")
    return bare.removesuffix("/") if bare != audience else audience


def _written(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return value
    if isinstance(value, int | float):
        whole = float(value).is_integer() and 0 <= value < 2**64
        return str(int(value)) if whole else f"{value:f}"
    return ""
