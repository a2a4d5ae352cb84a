"""JWT authentication: which end users' tokens a workload accepts.

A RequestAuthentication names issuers, their keys and where their tokens stand.  A bad token is
answered 401 (403 for another audience) with the reason as body; no token passes, without an
identity, because Istio allows it to be missing: only an AuthorizationPolicy makes it necessary.
What a good token claims is left for the policies (metadata ``payload``), and may be copied into
headers, which a client cannot forge: the filter removes them first.
See it with ``meshctl logs POD`` and ``meshctl explain REQUEST``.

Source: Envoy ``source/extensions/filters/http/jwt_authn/`` (filter.cc, verifier.cc,
authenticator.cc).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from envoy_data_plane.envoy.extensions.filters.http.jwt_authn.v3 import (
    JwtAuthentication,
    JwtProvider,
    JwtRequirement,
)
from mitmproxy.http import HTTPFlow

from mesh.sidecar.filters import FilterContext
from mesh.sidecar.filters import jwt as tokens
from mesh.sidecar.filters.head import RequestHead, path_of
from mesh.sidecar.filters.jwt import AUDIENCE, MISSING, UNKNOWN_ISSUER, Jwt, JwtError
from mesh.sidecar.filters.jwt_location import Extractor, Location, without_parameter
from mesh.sidecar.filters.jwt_provider import Provider
from mesh.sidecar.filters.match import head_of, note_route
from mesh.sidecar.filters.route_match import RouteTest, compile_match
from mesh.sidecar.local_reply import local_reply
from mesh.sidecar.mitm.flow import make_headers
from mesh.sidecar.stream_info import stream_info

FILTER = "envoy.filters.http.jwt_authn"
OK = ""
_LONGEST_URI = 256


@dataclass(slots=True)
class Verified:
    """What the good tokens of one request lead to."""

    metadata: dict[str, Any] = field(default_factory=dict)
    add: list[tuple[str, str]] = field(default_factory=list)
    remove: set[str] = field(default_factory=set)
    parameters: set[str] = field(default_factory=set)

    def left(self, places: list[Location]) -> list[Location]:
        """Return the places whose token was not taken away by a verifier before."""
        return [
            each
            for each in places
            if each.header not in self.remove and each.parameter not in self.parameters
        ]


Verifier = Callable[[RequestHead, float, Verified], str]
"""(request, Unix time, results) -> ``""`` or Envoy's words for what is wrong."""


class Verifiers:
    """Compiles requirements."""

    def __init__(self, providers: dict[str, JwtProvider]) -> None:
        self._messages = providers
        self._providers = {name: Provider(each) for name, each in providers.items()}
        self._every = Extractor(providers.values())

    def compile(self, requirement: JwtRequirement | None) -> Verifier | None:
        """Compile a requirement; None: nothing is required."""
        if requirement is None:
            return None
        if requirement.provider_name:
            return self._by_provider(requirement.provider_name, None)
        if requirement.provider_and_audiences is not None:
            given = requirement.provider_and_audiences
            return self._by_provider(given.provider_name, frozenset(given.audiences))
        if requirement.requires_any is not None:
            return self._any(requirement.requires_any.requirements)
        if requirement.requires_all is not None:
            return self._all(requirement.requires_all.requirements)
        if requirement.allow_missing is not None:
            return self._missing_or_good
        if requirement.allow_missing_or_failed is not None:
            return self._whatever
        raise ValueError("jwt_authn: this requirement cannot be executed")

    def _by_provider(
        self, name: str, audiences: frozenset[str] | None, *, optional: bool = False
    ) -> Verifier:
        if name not in self._providers:
            raise ValueError(f"jwt_authn: the provider {name!r} is not configured")
        provider = self._providers[name]
        extractor = Extractor([self._messages[name]])

        def verify(head: RequestHead, now: float, result: Verified) -> str:
            places = result.left(extractor.extract(head))
            if not places and not optional:
                return MISSING
            for place in reversed(places):
                error = check(place, lambda token: provider, now, result, audiences)
                if error:
                    return error
            return OK

        return verify

    def _any(self, requirements: Sequence[JwtRequirement]) -> Verifier:
        verifiers: list[Verifier] = []
        for each in requirements:
            named = [_provider(other) for other in requirements if _provider(other)]
            if each.allow_missing is not None and named:
                # It is about the tokens of its neighbours, not about everybody's.
                verifiers += [self._by_provider(name, None, optional=True) for name in named]
            elif (found := self.compile(each)) is not None:
                verifiers.append(found)

        def verify(head: RequestHead, now: float, result: Verified) -> str:
            final = MISSING
            for verifier in verifiers:
                error = verifier(head, now, result)
                if not error:
                    return OK
                if error not in (MISSING, UNKNOWN_ISSUER) or final == MISSING:
                    final = error
            return final

        return verify

    def _all(self, requirements: Sequence[JwtRequirement]) -> Verifier:
        verifiers = [found for each in requirements if (found := self.compile(each))]

        def verify(head: RequestHead, now: float, result: Verified) -> str:
            return next((error for each in verifiers if (error := each(head, now, result))), OK)

        return verify

    def _issued_by(self, token: Jwt) -> Provider | None:
        named = [each for each in self._providers.values() if each.issuer == token.issuer]
        rest = [each for each in self._providers.values() if not each.issuer]
        return next(iter([*named, *rest]), None)

    def _missing_or_good(self, head: RequestHead, now: float, result: Verified) -> str:
        last = OK
        for place in reversed(result.left(self._every.extract(head))):
            last = check(place, self._issued_by, now, result, None)
        return last

    def _whatever(self, head: RequestHead, now: float, result: Verified) -> str:
        for place in reversed(result.left(self._every.extract(head))):
            check(place, self._issued_by, now, result, None)
        return OK


def _provider(requirement: JwtRequirement) -> str:
    if requirement.provider_and_audiences is not None:
        return requirement.provider_and_audiences.provider_name
    return requirement.provider_name or ""


def check(
    place: Location,
    provider_of: Callable[[Jwt], Provider | None],
    now: float,
    result: Verified,
    audiences: frozenset[str] | None,
) -> str:
    """Check one token; ``""`` when it is good, and then its results are noted."""
    try:
        token = tokens.parse(place.token)
        provider = provider_of(token) if place.allows(token.issuer) else None
        if provider is None:
            raise JwtError(UNKNOWN_ISSUER)
        tokens.check_time(token, now, provider.skew)
        if not provider.for_us(token, audiences):
            raise JwtError(AUDIENCE)
        tokens.check_signature(token, provider.keys)
    except JwtError as error:
        return str(error)
    result.add += provider.headers(token)
    if not provider.forward:
        if place.header:
            result.remove.add(place.header)
        elif place.parameter:
            result.parameters.add(place.parameter)
    if provider.metadata_key:
        result.metadata[provider.metadata_key] = provider.normalized(token)
    return OK


class JwtAuthn:
    """The filter ``envoy.filters.http.jwt_authn``."""

    def __init__(self, config: JwtAuthentication, context: FilterContext, name: str) -> None:
        """Compile ``config``; ValueError for what cannot be executed or is wrong."""
        if config.filter_state_rules is not None:
            raise ValueError("jwt_authn: filter_state_rules cannot be executed")
        verifiers = Verifiers(config.providers)
        self._rules: list[tuple[RouteTest, Verifier | None]] = []
        for rule in config.rules:
            requirement = rule.requires
            if rule.requirement_name:
                requirement = config.requirement_map.get(rule.requirement_name)
                if requirement is None:
                    raise ValueError(f"jwt_authn: no requirement {rule.requirement_name!r}")
            if rule.match is None:
                raise ValueError("jwt_authn: a rule needs a match")
            self._rules.append((compile_match(rule.match).test, verifiers.compile(requirement)))
        self._own = {
            name.lower()
            for each in config.providers.values()
            for name in (
                each.forward_payload_header,
                *(item.header_name for item in each.claim_to_headers),
            )
            if name
        }
        self._bypass = config.bypass_cors_preflight
        self._silent = config.strip_failure_response
        self._context = context
        self._prefix = context.stat_prefix + "jwt_authn."

    def request(self, flow: HTTPFlow) -> None:
        """Answer 401 or 403 to a request with a bad token; note what a good one claims."""
        info = stream_info(flow)
        head = head_of(flow, info)
        stats = self._context.stats
        if self._bypass and _preflight(head):
            stats.inc(self._prefix + "cors_preflight_bypassed")
            return
        verifier = self._verifier(head)
        if verifier is None:
            stats.inc(self._prefix + "allowed")
            return
        result = Verified()
        error = verifier(head, time.time(), result)
        info.explain("jwt_authn", error=error, claims=result.metadata)
        self._change(flow, result)
        if not error:
            info.metadata.setdefault(FILTER, {}).update(result.metadata)
            stats.inc(self._prefix + "allowed")
            return
        stats.inc(self._prefix + "denied")
        note_route(flow, info, self._context)
        uri = f"{head.scheme}://{head.authority}{head.path}"[:_LONGEST_URI]
        challenge = f'Bearer realm="{uri}"'
        if error != MISSING:
            challenge += ', error="invalid_token"'
        status = 403 if error == AUDIENCE else 401
        details = f"jwt_authn_access_denied{{{error.replace(' ', '_')}}}"
        body = b"" if self._silent else error.encode()
        extra = [] if self._silent else [(b"www-authenticate", challenge.encode("latin-1"))]
        local_reply(flow, info, status, body, details, extra=extra)

    def _verifier(self, head: RequestHead) -> Verifier | None:
        path = path_of(head.path)
        for matches, verifier in self._rules:
            if matches(head, path, lambda: self._context.rng.getrandbits(64)):
                return verifier
        return None

    def _change(self, flow: HTTPFlow, result: Verified) -> None:
        """Take away forged headers and used tokens, and write the claims."""
        request = flow.request
        gone = {name.encode() for name in self._own | result.remove}
        fields = list(request.data.headers.fields)
        kept = [item for item in fields if item[0] not in gone]
        kept += [(name.lower().encode(), value.encode()) for name, value in result.add]
        if kept != fields:
            request.headers = make_headers(kept)
        for name in result.parameters:
            path = request.data.path.decode("latin-1")
            request.data.path = without_parameter(path, name).encode("latin-1")


def _preflight(head: RequestHead) -> bool:
    return (
        head.method == "OPTIONS"
        and bool(head.get("origin"))
        and bool(head.get("access-control-request-method"))
    )
