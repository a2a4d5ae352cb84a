"""Tokens good and bad, judged by the real Envoy: status, body, challenge, what goes on upstream."""

from __future__ import annotations

import base64
import json
import time
import warnings
from collections.abc import Callable
from typing import Any

import pytest
from envoy_data_plane.envoy.extensions.filters.http.jwt_authn.v3 import (
    JwtAuthentication,
    JwtRequirement,
)
from joserfc import jws, jwt
from joserfc.errors import SecurityWarning
from joserfc.jwk import ECKey, OctKey, OKPKey, RSAKey

from mesh.sidecar.filters.jwt_authn import Verified, Verifiers
from mesh.sidecar.filters.jwt_location import without_parameter
from mesh.sidecar.filters.routing import RequestHead

pytestmark = [
    pytest.mark.envoy,
    pytest.mark.filterwarnings("ignore::joserfc.errors.SecurityWarning"),
]
TYPE = "type.googleapis.com/envoy.extensions.filters.http.jwt_authn.v3.JwtAuthentication"
ALL = ["RS256", "RS512", "PS256", "ES256", "HS256", "HS512", "EdDSA", "none"]
REGISTRY = jws.JWSRegistry(algorithms=ALL)
RSA, OTHER_RSA = RSAKey.generate_key(2048), RSAKey.generate_key(2048)
EC, OCT, ED = ECKey.generate_key("P-256"), OctKey.generate_key(256), OKPKey.generate_key("Ed25519")
NOW = int(time.time())
GOOD = {"iss": "one", "sub": "jason", "aud": "us", "exp": NOW + 3600}


def public(key: Any, **more: str) -> dict[str, Any]:
    return {**key.as_dict(private=key.key_type == "oct"), **more}


def sign(claims: Any, key: Any = RSA, alg: str = "RS256", **header: Any) -> str:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SecurityWarning)  # EdDSA
        return jwt.encode({"alg": alg, **header}, claims, key, registry=REGISTRY)


def raw(header: Any, payload: Any, signature: str = "AA") -> str:
    def text(value: Any) -> str:
        data = value if isinstance(value, bytes) else json.dumps(value).encode()
        return base64.urlsafe_b64encode(data).rstrip(b"=").decode()

    return f"{text(header)}.{text(payload)}.{signature}"


def altered(token: str, **claims: Any) -> str:
    head, _, signature = token.split(".")
    payload = (
        base64.urlsafe_b64encode(json.dumps({**GOOD, **claims}).encode()).rstrip(b"=").decode()
    )
    return f"{head}.{payload}.{signature}"


def confused() -> str:
    """Sign with HMAC by the public RSA key, as if it were a shared secret."""
    pem = RSA.as_pem(private=False)
    return hmac_by(pem)


def hmac_by(secret: bytes) -> str:
    import hashlib
    import hmac

    body = raw({"alg": "HS256"}, GOOD).rpartition(".")[0]
    mark = hmac.new(secret, body.encode(), hashlib.sha256).digest()
    return f"{body}.{base64.urlsafe_b64encode(mark).rstrip(b'=').decode()}"


GOOD_TOKEN = sign(GOOD)
TOKENS: dict[str, str] = {
    "good": GOOD_TOKEN,
    "with kid": sign(GOOD, kid="rsa"),
    "other kid": sign(GOOD, kid="nobody"),
    "rs512": sign(GOOD, alg="RS512"),
    "ps256": sign(GOOD, alg="PS256"),
    "es256": sign(GOOD, EC, "ES256"),
    "hs256": sign(GOOD, OCT, "HS256"),
    "eddsa": sign(GOOD, ED, "EdDSA"),
    "other key": sign(GOOD, OTHER_RSA),
    "other issuer": sign({**GOOD, "iss": "three"}),
    "second issuer": sign({**GOOD, "iss": "two"}, EC, "ES256"),
    "second issuer by the key of the first": sign({**GOOD, "iss": "two"}),
    "no issuer": sign({"sub": "x"}),
    "altered": altered(GOOD_TOKEN, sub="admin"),
    "expired": sign({**GOOD, "exp": NOW - 3600}),
    "not yet": sign({**GOOD, "nbf": NOW + 3600}),
    "wrong audience": sign({**GOOD, "aud": "them"}),
    "one of two audiences": sign({**GOOD, "aud": ["them", "us"]}),
    "audience with scheme": sign({**GOOD, "aud": "https://us/"}),
    "no audience": sign({name: GOOD[name] for name in ("iss", "sub", "exp")}),
    "alg none": raw({"alg": "none"}, GOOD),
    "alg none, no signature": raw({"alg": "none"}, GOOD, ""),
    "alg missing": raw({}, GOOD),
    "alg number": raw({"alg": 1}, GOOD),
    "alg unknown": raw({"alg": "RS1"}, GOOD),
    "alg in lower case": raw({"alg": "rs256"}, GOOD),
    "kid number": raw({"alg": "RS256", "kid": 1}, GOOD),
    "key confusion": confused(),
    "two parts": "a.b",
    "four parts": GOOD_TOKEN + ".x",
    "empty parts": "..",
    "not base64": "!!." + GOOD_TOKEN.partition(".")[2],
    "header not JSON": raw(b"nonsense", GOOD),
    "payload not JSON": raw({"alg": "RS256"}, b"nonsense"),
    "payload a list": raw({"alg": "RS256"}, [1]),
    "sub a number": raw({"alg": "RS256"}, {**GOOD, "sub": 1}),
    "iss a number": raw({"alg": "RS256"}, {"iss": 1}),
    "exp a text": raw({"alg": "RS256"}, {**GOOD, "exp": "x"}),
    "exp negative": raw({"alg": "RS256"}, {**GOOD, "exp": -1}),
    "aud a number": raw({"alg": "RS256"}, {**GOOD, "aud": 1}),
    "signature not base64": GOOD_TOKEN.rpartition(".")[0] + ".!!",
    "signature cut": GOOD_TOKEN[:-4],
    "nothing": "",
}
KEYS = [public(RSA, kid="rsa"), public(EC), public(OCT), public(ED)]
PROVIDERS: dict[str, Any] = {
    "one": {
        "issuer": "one",
        "audiences": ["us"],
        "local_jwks": {"inline_string": json.dumps({"keys": KEYS})},
        "payload_in_metadata": "payload",
        "forward_payload_header": "x-payload",
        "claim_to_headers": [
            {"header_name": "x-sub", "claim_name": "sub"},
            {"header_name": "x-exp", "claim_name": "exp"},
            {"header_name": "x-deep", "claim_name": "a.b"},
        ],
    },
    "two": {
        "issuer": "two",
        "local_jwks": {"inline_string": json.dumps({"keys": [public(EC)]})},
        "from_headers": [{"name": "x-two"}, {"name": "authorization", "value_prefix": "Bearer "}],
        "from_params": ["two"],
        "from_cookies": ["two"],
        "forward": True,
    },
}
ONE, TWO = {"provider_name": "one"}, {"provider_name": "two"}
MISSING: dict[str, Any] = {"allow_missing": {}}
REQUIREMENTS: list[dict[str, Any]] = [
    ONE,
    {"requires_any": {"requirements": [ONE, MISSING]}},
    {"requires_any": {"requirements": [ONE, TWO]}},
    {
        "requires_any": {
            "requirements": [
                ONE,
                TWO,
                {
                    "requires_all": {
                        "requirements": [
                            {"requires_any": {"requirements": [ONE, MISSING]}},
                            {"requires_any": {"requirements": [TWO, MISSING]}},
                        ]
                    }
                },
            ]
        }
    },
    {"requires_all": {"requirements": [ONE, TWO]}},
    {"allow_missing_or_failed": {}},
    {"provider_and_audiences": {"provider_name": "one", "audiences": ["them"]}},
]


def places(token: str) -> list[tuple[str, list[tuple[str, str]]]]:
    """(path, headers) of all ways to carry a token."""
    return [
        ("/", [("authorization", f"Bearer {token}".strip()), ("x-sub", "forged")]),
        ("/?access_token=" + token + "&a=b", []),
    ]


EXTRA: list[tuple[str, list[tuple[str, str]]]] = [
    ("/", []),
    ("/", [("x-sub", "forged"), ("x-payload", "forged")]),
    ("/", [("authorization", "Basic abc")]),
    ("/", [("authorization", f"bearer {GOOD_TOKEN}")]),
    ("/", [("authorization", f"Bearer  {GOOD_TOKEN}")]),
    ("/", [("authorization", f"Bearer {GOOD_TOKEN}"), ("authorization", "Bearer a.b.c")]),
    ("/?access_token=a.b.c", [("authorization", f"Bearer {GOOD_TOKEN}")]),
    ("/", [("x-two", TOKENS["second issuer"])]),
    ("/", [("x-two", GOOD_TOKEN)]),
    ("/?two=" + TOKENS["second issuer"] + "&x=y", []),
    ("/", [("cookie", "a=b; two=" + TOKENS["second issuer"])]),
    (
        "/",
        [("x-two", TOKENS["second issuer"]), ("authorization", f"Bearer {GOOD_TOKEN}")],
    ),
    (
        "/",
        [("x-two", TOKENS["second issuer"]), ("authorization", f"Bearer {TOKENS['expired']}")],
    ),
]


def test_every_token_is_judged_as_by_envoy(
    judge: Callable[..., Any], backend: Callable[[], Any]
) -> None:
    config: dict[str, Any] = {
        "providers": PROVIDERS,
        "rules": [
            {
                "match": {
                    "prefix": "/",
                    "headers": [{"name": "case", "string_match": {"exact": str(number)}}],
                },
                "requires": each,
            }
            for number, each in enumerate(REQUIREMENTS)
        ],
    }
    upstream = backend()
    endpoint = {
        "address": {"socket_address": {"address": "127.0.0.1", "port_value": upstream.port}}
    }
    cluster = {
        "name": "up",
        "type": "STATIC",
        "load_assignment": {
            "cluster_name": "up",
            "endpoints": [{"lb_endpoints": [{"endpoint": endpoint}]}],
        },
    }
    routes = [{"match": {"prefix": "/"}, "route": {"cluster": "up"}}]
    envoy = judge(
        {"name": "r", "virtual_hosts": [{"name": "v", "domains": ["*"], "routes": routes}]},
        [cluster],
        filters=[{"name": "jwt", "typed_config": {"@type": TYPE, **config}}],
    )
    message = JwtAuthentication.from_dict(config)
    verifiers = Verifiers(message.providers)
    own = {"x-payload", "x-sub", "x-exp", "x-deep"}
    different = []
    now = int(time.time())  # both judge at this time; the module may have been read long ago
    tokens = TOKENS | {
        "just expired": sign({**GOOD, "exp": now - 30}),
        "soon": sign({**GOOD, "nbf": now + 30}),
    }
    requests = [(name, *each) for name, token in tokens.items() for each in places(token)]
    requests += [(f"extra {number}", *each) for number, each in enumerate(EXTRA)]
    for number, requirement in enumerate(REQUIREMENTS):
        verify = verifiers.compile(JwtRequirement.from_dict(requirement))
        assert verify is not None
        for name, path, headers in requests:
            sent = [("case", str(number)), *headers]
            theirs = envoy.request(path, host="a", headers=sent)
            result = Verified()
            error = verify(RequestHead("GET", "http", "a", path, list(sent)), now, result)
            if error:
                status = 403 if "Audiences" in error else 401
                if (theirs.status, theirs.body.decode()) != (status, error):
                    different.append((number, name, path[:20], error, theirs.body[:90]))
                continue
            if theirs.status != 200:
                different.append((number, name, path[:20], "accepted", theirs.body))
                continue
            seen = theirs.json()
            ours = [item for item in sent if item[0] not in own | result.remove] + result.add
            after = path
            for parameter in result.parameters:
                after = without_parameter(after, parameter)
            names = own | {"authorization", "x-two"}
            shown = sorted((k, v) for k, v in seen["headers"] if k in names)
            mine = sorted((k, v) for k, v in joined(ours) if k in names)
            if (shown, seen["path"]) != (mine, after):
                different.append((number, name, "upstream", mine, shown, after, seen["path"]))
    assert not different, "\n".join(map(str, different))


def joined(headers: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """Join a repeated authorization header, as Envoy does."""
    values = [value for name, value in headers if name == "authorization"]
    rest = [item for item in headers if item[0] != "authorization"]
    return [*rest, ("authorization", ",".join(values))] if values else rest
