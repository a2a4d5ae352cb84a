"""JSON Web Tokens: read one, check its signature against a key set.

A token is three base64url texts with dots between: header (algorithm, key id), payload (the claims:
who issued it, for whom, until when) and signature.  The key decides what an algorithm may be: a
public RSA key never checks an HMAC, and ``alg: none`` is no algorithm at all.  Every mistake has
a sentence of its own, the one that the client reads in the 401.

Source: RFC 7515, RFC 7519; Envoy ``source/common/jwt`` (status.cc, jwt.cc, verify.cc).
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from dataclasses import dataclass, field
from typing import Any

from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, OctKey, OKPKey, RSAKey, import_key

type Key = RSAKey | ECKey | OctKey | OKPKey

MISSING = "Jwt is missing"
NOT_YET = "Jwt not yet valid"
EXPIRED = "Jwt is expired"
BAD_FORMAT = "Jwt is not in the form of Header.Payload.Signature with two dots and 3 sections"
UNKNOWN_ISSUER = "Jwt issuer is not configured"
AUDIENCE = "Audiences in Jwt are not allowed"
FAILS = "Jwt verification fails"
NO_KEY = "Jwks doesn't have key to match kid or alg from Jwt"
CLOCK_SKEW = 60
"""Seconds that clocks may differ."""

_FAMILIES = {
    "RSA": ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"),
    "EC": ("ES256", "ES384", "ES512"),
    "oct": ("HS256", "HS384", "HS512"),
    "OKP": ("EdDSA",),
}
_ALGORITHMS = frozenset(name for names in _FAMILIES.values() for name in names)
_CURVES = {"P-256": "ES256", "P-384": "ES384", "P-521": "ES512"}
_ED25519_LENGTH = 64
_BASE64URL = re.compile(r"[A-Za-z0-9_-]*={0,2}")
_REGISTRY = jws.JWSRegistry(algorithms=sorted(_ALGORITHMS))


class JwtError(Exception):
    """A token that is not accepted; the text is Envoy's."""


@dataclass(frozen=True, slots=True)
class Jwt:
    """A token that was read, not checked.  ``payload_text`` is its payload as sent."""

    text: str
    algorithm: str
    key_id: str
    payload_text: str
    signature: bytes
    claims: dict[str, Any]
    issuer: str
    audiences: tuple[str, ...]
    not_before: int
    expires: int


@dataclass(frozen=True, slots=True)
class KeySet:
    """The keys of one issuer: (kid, alg, key)."""

    keys: tuple[tuple[str, str, Key], ...] = field(default=())


def parse(text: str) -> Jwt:
    """Read a token; JwtError when it is none."""
    parts = text.split(".")
    if len(parts) != 3 or not all(parts):
        raise JwtError(BAD_FORMAT)
    header = _section(parts[0], "header")
    algorithm = header.get("alg")
    if not isinstance(algorithm, str):
        raise JwtError("Jwt header [alg] field is required and must be a string")
    if algorithm not in _ALGORITHMS:
        raise JwtError("Jwt header [alg] is not supported")
    key_id = header.get("kid", "")
    if not isinstance(key_id, str):
        raise JwtError("Jwt header [kid] field is not a string")
    claims = _section(parts[1], "payload")
    for name in ("iss", "sub", "jti"):
        if not isinstance(claims.get(name, ""), str):
            raise JwtError(f"Jwt payload [{name}] field is not a string")
    times = {}
    for name in ("iat", "nbf", "exp"):
        times[name] = _time(claims.get(name, 0), name)
    audiences = claims.get("aud", [])
    listed = [audiences] if isinstance(audiences, str) else audiences
    if not isinstance(listed, list) or not all(isinstance(each, str) for each in listed):
        raise JwtError("Jwt payload [aud] field is not a string or string list")
    signature = decode(parts[2])
    if signature is None:
        raise JwtError("Jwt signature is an invalid Base64url encoded")
    return Jwt(
        text,
        algorithm,
        key_id,
        parts[1],
        signature,
        claims,
        claims.get("iss", ""),
        tuple(listed),
        times["nbf"],
        times["exp"],
    )


def check_time(token: Jwt, now: float, skew: int = CLOCK_SKEW) -> None:
    """Check ``nbf`` and ``exp`` against Unix time; JwtError."""
    if now + skew < token.not_before:
        raise JwtError(NOT_YET)
    if token.expires and now > token.expires + skew:
        raise JwtError(EXPIRED)


def check_signature(token: Jwt, keys: KeySet) -> None:
    """Check the signature with every key that may have made it; JwtError."""
    fitting = False
    for key_id, algorithm, key in keys.keys:
        if token.key_id and key_id and key_id != token.key_id:
            continue
        if algorithm and algorithm != token.algorithm:
            continue
        fitting = True
        if key.key_type == "OKP" and len(token.signature) != _ED25519_LENGTH:
            raise JwtError("Jwt ED25519 signature is wrong length")  # Envoy asks no further key
        if token.algorithm in _FAMILIES[key.key_type] and _signed(token, key):
            return
    raise JwtError(FAILS if fitting else NO_KEY)


def _signed(token: Jwt, key: Key) -> bool:
    try:
        jws.deserialize_compact(token.text, key, registry=_REGISTRY)
    except (JoseError, ValueError, TypeError):
        return False
    return True


def read_keys(text: str) -> KeySet:
    """Read a key set (RFC 7517); ValueError when it has no key that can be used."""
    try:
        data = json.loads(text)
    except ValueError:
        raise ValueError("Jwks is an invalid JSON") from None
    listed = data.get("keys") if isinstance(data, dict) else None
    if not isinstance(listed, list):
        raise ValueError("Jwks does not have [keys] field, or it is no array")
    found: list[tuple[str, str, Key]] = []
    first = ""
    for number, raw in enumerate(listed):
        try:
            found.append(_key(raw))
        except (ValueError, TypeError, KeyError, JoseError) as error:
            first = first or f"keys[{number}]: {error}"
    if not found:
        raise ValueError(f"Jwks doesn't have any valid public key ({first or 'no keys at all'})")
    return KeySet(tuple(found))


def _key(raw: Any) -> tuple[str, str, Key]:
    if not isinstance(raw, dict) or not isinstance(raw.get("kty"), str):
        raise ValueError("[kty] is missing")
    kind, algorithm, key_id = raw["kty"], raw.get("alg", ""), raw.get("kid", "")
    if kind not in _FAMILIES:
        raise ValueError(f"[kty] {kind} is not supported")
    if algorithm and algorithm not in _FAMILIES[kind]:
        raise ValueError(f"[alg] {algorithm} does not go with a key of [kty] {kind}")
    if kind == "EC":
        curve = _CURVES.get(str(raw.get("crv", "P-256")), "")
        if not curve or (algorithm and algorithm != curve):
            raise ValueError("[crv] field specified is not compatible with [alg] for an EC key")
    key = import_key({name: raw[name] for name in raw if name not in ("use", "key_ops", "alg")})
    return str(key_id), str(algorithm), key


def _section(text: str, name: str) -> dict[str, Any]:
    raw = decode(text)
    if raw is None:
        raise JwtError(f"Jwt {name} is an invalid Base64url encoded")
    try:
        data = json.loads(raw.decode())
    except (ValueError, RecursionError):
        raise JwtError(f"Jwt {name} is an invalid JSON") from None
    if not isinstance(data, dict):
        raise JwtError(f"Jwt {name} is an invalid JSON")
    return data


def _time(value: Any, name: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise JwtError(f"Jwt payload [{name}] field is not an integer")
    if value < 0:
        raise JwtError(f"Jwt payload [{name}] field is not a positive 64 bit integer")
    return int(value)


def decode(text: str) -> bytes | None:
    """Decode base64url with or without padding; None when it is none."""
    if not _BASE64URL.fullmatch(text):
        return None
    bare = text.rstrip("=")
    if len(bare) % 4 == 1:
        return None
    try:
        return base64.urlsafe_b64decode(bare + "=" * (-len(bare) % 4))
    except (binascii.Error, ValueError):
        return None
