"""Routing: which virtual host and which route of the table a request takes.

In a real mesh a VirtualService becomes routes of a virtual host in the client's sidecar:
``hosts`` give the domains, each ``http[].match`` block one route (its conditions joined by AND),
several blocks several routes (OR), and the first route that matches wins, so order matters.
No virtual host or no route: 404, flag NR, ``route_not_found``.
See it with ``meshctl proxy-config routes POD`` and ``meshctl explain REQUEST``.

Sources: Envoy, ``source/common/router/config_impl.cc`` (``RouteMatcher::findVirtualHost``,
``VirtualHostImpl::getRouteFromEntries``), HTTP connection manager, "Route matching".
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field

from envoy_data_plane.envoy.config.route.v3 import (
    RedirectAction,
    Route,
    RouteConfiguration,
    RouteMatch,
    VirtualHost,
    VirtualHostTlsRequirementType,
)

from mesh.sidecar.filters.head import RequestHead
from mesh.sidecar.filters.route import Action, CompiledRoute, Inherited, compile_route
from mesh.sidecar.filters.why_not import failing

__all__ = ["Action", "CompiledRoute", "RequestHead", "RouteTable"]

MOST_EXPLAINED = 30
"""Of so many routes that were not taken an explanation says why."""

_TO_HTTPS = Route(match=RouteMatch(prefix="/"), redirect=RedirectAction(https_redirect=True))
"""What a virtual host with ``require_tls`` answers plain requests with (Gateway httpsRedirect)."""

_LINEAR = 8
"""Up to this many routes a plain walk is quicker than looking the path up."""


@dataclass(slots=True)
class _Host:
    """A virtual host: its routes in order and, for many routes, an index by path."""

    name: str
    routes: tuple[CompiledRoute, ...]
    exact: dict[str, list[int]] = field(default_factory=dict)
    prefixes: dict[str, list[int]] = field(default_factory=dict)
    lengths: tuple[int, ...] = ()
    always: list[int] = field(default_factory=list)
    to_https: CompiledRoute | None = None

    def build(self) -> None:
        """Index the routes by exact path and by prefix; the rest is tried always."""
        for number, route in enumerate(self.routes):
            if route.path_kind == "exact":
                self.exact.setdefault(route.path_value, []).append(number)
            elif route.path_kind == "prefix":
                self.prefixes.setdefault(route.path_value, []).append(number)
            else:
                self.always.append(number)
        self.lengths = tuple(sorted({len(prefix) for prefix in self.prefixes}))

    def candidates(self, path: str) -> list[int]:
        """Numbers of the routes whose path can match, in order."""
        found = list(self.always)
        found += self.exact.get(path, ())
        size = len(path)
        for length in self.lengths:
            if length > size:
                break
            numbers = self.prefixes.get(path[:length])
            if numbers:
                found += numbers
        found.sort()
        return found

    def match(self, head: RequestHead, draw: Callable[[], int]) -> CompiledRoute | None:
        path = head.path
        cut = path.find("?")
        if cut >= 0:
            path = path[:cut]
        if "#" in path:
            path = path[: path.index("#")]
        if len(self.routes) <= _LINEAR:
            for route in self.routes:
                if route.test(head, path, draw):
                    return route
            return None
        for number in self.candidates(path):
            route = self.routes[number]
            if route.test(head, path, draw):
                return route
        return None


class RouteTable:
    """A compiled RouteConfiguration.  Compile once per update, match once per request."""

    __slots__ = ("_default", "_exact", "_ignore_port", "_prefixes", "_suffixes", "name")

    def __init__(self, name: str, ignore_port: bool) -> None:
        self.name = name
        self._ignore_port = ignore_port
        self._exact: dict[str, _Host] = {}
        self._suffixes: dict[str, _Host] = {}
        self._prefixes: dict[str, _Host] = {}
        self._default: _Host | None = None

    @classmethod
    def compile(cls, config: RouteConfiguration) -> RouteTable:
        """Compile ``config``.

        Raises ValueError, with the virtual host and the route in its text, for what Envoy would
        refuse (a regular expression that is none, a domain used twice, weights that sum to 0)
        and for the few matches that this data plane does not execute.
        """
        table = cls(config.name, config.ignore_port_in_host_matching)
        names: set[str] = set()
        for virtual_host in config.virtual_hosts:
            if virtual_host.name in names:
                raise ValueError(
                    f"only unique names for virtual hosts: {virtual_host.name!r} is twice"
                )
            names.add(virtual_host.name)
            table._add(config, virtual_host)
        table._suffixes = _longest_first(table._suffixes)
        table._prefixes = _longest_first(table._prefixes)
        return table

    def _add(self, config: RouteConfiguration, virtual_host: VirtualHost) -> None:
        inherited = Inherited.of(config, virtual_host)
        routes = tuple(
            compile_route(route, number, inherited)
            for number, route in enumerate(virtual_host.routes)
        )
        host = _Host(virtual_host.name, routes)
        host.build()
        if virtual_host.require_tls is VirtualHostTlsRequirementType.ALL:
            host.to_https = compile_route(_TO_HTTPS, 0, inherited)
        elif virtual_host.require_tls is VirtualHostTlsRequirementType.EXTERNAL_ONLY:
            raise ValueError(f"virtual host {host.name!r}: require_tls EXTERNAL_ONLY")
        for domain in virtual_host.domains:
            lower = domain.lower()
            if lower == "*":
                if self._default is not None:
                    raise ValueError(
                        f"only one virtual host can have the domain '*' ({host.name!r})"
                    )
                self._default = host
                continue
            if lower.startswith("*"):
                hosts, key = self._suffixes, lower[1:]
            elif lower.endswith("*"):
                hosts, key = self._prefixes, lower[:-1]
            else:
                hosts, key = self._exact, lower
            if key in hosts:
                raise ValueError(
                    f"only unique domains are permitted: {domain!r} of virtual host {host.name!r} "
                    f"is one of {hosts[key].name!r} already"
                )
            hosts[key] = host

    def virtual_host(self, authority: str) -> str | None:
        """Name of the virtual host for ``authority``: exact, ``*.suffix``, ``prefix.*``, ``*``."""
        host = self._find(authority)
        return None if host is None else host.name

    def _find(self, authority: str) -> _Host | None:
        name = authority.lower()
        if self._ignore_port:
            bare, separator, port = name.rpartition(":")
            if separator and port.isdigit():
                name = bare
        found = self._exact.get(name)
        if found is not None:
            return found
        # A wildcard stands for at least one character.
        for suffix, host in self._suffixes.items():
            if len(name) > len(suffix) and name.endswith(suffix):
                return host
        for prefix, host in self._prefixes.items():
            if len(name) > len(prefix) and name.startswith(prefix):
                return host
        return self._default

    def match(self, head: RequestHead, rng: random.Random) -> CompiledRoute | None:
        """First matching route of the virtual host, or None (404, NR, ``route_not_found``).

        All runtime fractions of one request share one draw, as in Envoy.
        """
        host = self._find(head.authority)
        if host is None:
            return None
        if host.to_https is not None and head.get("x-forwarded-proto") != "https":
            return host.to_https
        value: int | None = None

        def draw() -> int:
            nonlocal value
            if value is None:
                value = rng.getrandbits(64)
            return value

        return host.match(head, draw)

    def not_taken(self, head: RequestHead, taken: CompiledRoute | None) -> list[dict[str, str]]:
        """Explain for each route before ``taken`` (None: for all) which condition did not hold.

        ``{"route": its match in words, "because": the condition and what the request has}``; a
        long list is cut.
        """
        host = self._find(head.authority)
        before: list[CompiledRoute] = []
        for route in host.routes if host is not None else ():
            if route is taken:
                break
            before.append(route)
        found = [
            {
                "route": each.matched.removeprefix(f"virtual host {each.virtual_host}, "),
                "because": failing(each.conditions, head),
            }
            for each in before[:MOST_EXPLAINED]
        ]
        if len(before) > MOST_EXPLAINED:
            found.append({"route": f"{len(before) - MOST_EXPLAINED} more", "because": ""})
        return found

    def why_not(self, head: RequestHead) -> str:
        """Explain in one sentence why no route matched ``head``."""
        host = self._find(head.authority)
        if host is None:
            return f"no virtual host of {self.name} has a domain for {head.authority!r}"
        return (
            f"virtual host {host.name} was chosen for {head.authority!r}, and none of its "
            f"{len(host.routes)} routes matches {head.method} {head.path}"
        )


def _longest_first(hosts: dict[str, _Host]) -> dict[str, _Host]:
    return dict(sorted(hosts.items(), key=lambda item: -len(item[0])))
