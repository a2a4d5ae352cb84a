"""Where a request carries its token: headers, query parameters, cookies.

``fromHeaders``, ``fromParams`` and ``fromCookies`` of a RequestAuthentication; without any of them the
header ``authorization: Bearer TOKEN`` and the parameter ``access_token``.  An issuer's token is
accepted from that issuer's places only.

Source: Envoy ``source/extensions/filters/http/jwt_authn/extractor.cc``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from urllib.parse import unquote

from envoy_data_plane.envoy.extensions.filters.http.jwt_authn.v3 import JwtProvider

from mesh.sidecar.filters.head import RequestHead
from mesh.sidecar.filters.matchers import cookies

_START = re.compile(r"[A-Za-z0-9\-_.]")


@dataclass(frozen=True, slots=True)
class Location:
    """One token as found; ``issuers``: whose it may be (None: anybody's).

    ``header`` or ``parameter`` is where it stands, so that it can be taken away.
    """

    token: str
    issuers: frozenset[str] | None
    header: str = ""
    parameter: str = ""

    def allows(self, issuer: str) -> bool:
        """Whether a token of this issuer may stand here."""
        return self.issuers is None or issuer in self.issuers


@dataclass(slots=True)
class _Place:
    issuers: set[str] = field(default_factory=set)
    anybody: bool = False

    def add(self, issuer: str) -> None:
        if issuer:
            self.issuers.add(issuer)
        else:
            self.anybody = True

    def frozen(self) -> frozenset[str] | None:
        return None if self.anybody else frozenset(self.issuers)


class Extractor:
    """Finds the tokens of some providers in a request."""

    def __init__(self, providers: Iterable[JwtProvider]) -> None:
        self._headers: dict[tuple[str, str], _Place] = {}
        self._parameters: dict[str, _Place] = {}
        self._cookies: dict[str, _Place] = {}
        for provider in providers:
            headers = [(each.name.lower(), each.value_prefix) for each in provider.from_headers]
            parameters, names = list(provider.from_params), list(provider.from_cookies)
            if not (headers or parameters or names):
                headers, parameters = [("authorization", "Bearer ")], ["access_token"]
            for header in headers:
                self._headers.setdefault(header, _Place()).add(provider.issuer)
            for parameter in parameters:
                self._parameters.setdefault(parameter, _Place()).add(provider.issuer)
            for name in names:
                self._cookies.setdefault(name, _Place()).add(provider.issuer)

    def extract(self, head: RequestHead) -> list[Location]:
        """Return the tokens in Envoy's order: headers, parameters, cookies, each by name."""
        found: list[Location] = []
        for (name, prefix), place in sorted(
            self._headers.items(), key=lambda item: "".join(item[0])
        ):
            for value in _values(head, name):
                token = _after(value, prefix)
                if token is not None:
                    found.append(Location(token, place.frozen(), header=name))
        if self._parameters:
            sent = parameters_of(head)
            found += [
                Location(sent[name], place.frozen(), parameter=name)
                for name, place in sorted(self._parameters.items())
                if name in sent
            ]
        if self._cookies:
            crumbs = cookies(head)
            found += [
                Location(crumbs[name], place.frozen())
                for name, place in sorted(self._cookies.items())
                if name in crumbs
            ]
        return found


def _values(head: RequestHead, name: str) -> tuple[str, ...]:
    """Return the values of a header; repeated authorization is one, as in Envoy."""
    values = head.values(name)
    return (",".join(values),) if name == "authorization" and values else values


def _after(value: str, prefix: str) -> str | None:
    """Return what follows the prefix, wherever that stands; None when it does not."""
    if not prefix:
        return value
    at = value.find(prefix)
    if at < 0:
        return None
    start = _START.search(value, at + len(prefix))
    return value[start.start() :] if start else value


def parameters_of(head: RequestHead) -> dict[str, str]:
    """Return the decoded query parameters; the first of a repeated one."""
    found: dict[str, str] = {}
    for pair in head.path.partition("?")[2].partition("#")[0].split("&"):
        name, _, value = pair.partition("=")
        if pair:
            found.setdefault(unquote(name), unquote(value))
    return found


def without_parameter(path: str, name: str) -> str:
    """Return the path without a query parameter."""
    front, question, query = path.partition("?")
    kept = [pair for pair in query.split("&") if unquote(pair.partition("=")[0]) != name]
    return f"{front}{question}{'&'.join(kept)}" if kept else front
