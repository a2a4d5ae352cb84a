"""Hash policy: what of a request decides which endpoint it sticks to.

In a DestinationRule: ``loadBalancer.consistentHash`` with ``httpHeaderName``, ``httpCookie``
(name, path, ttl), ``useSourceIp`` or ``httpQueryParameterName``.  Its value becomes a 64-bit
xxHash; ring hash and maglev map that to a host.  A cookie with a ttl that the client lacks is
made by the sidecar and set in the answer, so the next request sticks.  Several policies are
combined; after a ``terminal`` one that had a value the rest is skipped.
See it with ``curl -i``: the ``set-cookie`` header, then the same ``upstream_host`` each time.

Source: Envoy, ``source/common/http/hash_policy.cc``, ``source/common/http/utility.cc``
(``makeSetCookieValue``).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import xxhash
from envoy_data_plane.envoy.config.route.v3 import RouteActionHashPolicy

from mesh.sidecar.filters.head import RequestHead
from mesh.sidecar.filters.matchers import cookies
from mesh.sidecar.filters.rewrite import Substitute, substitution

_MASK = 2**64 - 1


@dataclass(frozen=True, slots=True)
class Peer:
    """The downstream connection: ``address`` without port, both ends as ``address:port``."""

    address: str = ""
    remote: str = ""
    local: str = ""


@dataclass(frozen=True, slots=True)
class Hash:
    """The hash (None: nothing to hash) and the ``set-cookie`` values that the answer must carry."""

    value: int | None
    set_cookies: tuple[str, ...] = ()


Evaluate = Callable[[RequestHead, Peer], tuple[int | None, str]]
"""(request, connection) -> (hash or None, ``set-cookie`` value or an empty string)."""


@dataclass(frozen=True, slots=True)
class HashPolicy:
    """Compiled policies of a route: (evaluate, terminal) in order."""

    steps: tuple[tuple[Evaluate, bool], ...]

    def generate(self, head: RequestHead, peer: Peer) -> Hash:
        """Combine the policies' hashes; a value is rotated by one bit before the next joins."""
        combined: int | None = None
        set_cookies: list[str] = []
        for evaluate, terminal in self.steps:
            value, set_cookie = evaluate(head, peer)
            if set_cookie:
                set_cookies.append(set_cookie)
            if value is not None:
                old = 0 if combined is None else (combined << 1 | combined >> 63) & _MASK
                combined = old ^ value
            if terminal and combined is not None:
                break
        return Hash(combined, tuple(set_cookies))


def xx_hash(text: str, seed: int = 0) -> int:
    """Return the 64-bit xxHash of ``text``; headers are bytes, one character each."""
    return xxhash.xxh64_intdigest(text.encode("latin-1", "replace"), seed)


def compile_hash_policy(policies: Sequence[RouteActionHashPolicy]) -> HashPolicy:
    """Compile a route's policies; ValueError for one that this data plane does not execute."""
    steps: list[tuple[Evaluate, bool]] = []
    for policy in policies:
        if policy.header is not None:
            rewrite = (
                substitution(policy.header.regex_rewrite, "hash policy")
                if policy.header.regex_rewrite
                else None
            )
            evaluate = _header(policy.header.header_name.lower(), rewrite)
        elif policy.cookie is not None:
            ttl = policy.cookie.ttl
            attributes = "".join(
                f"; {item.name}" + (f"={item.value}" if item.value else "")
                for item in policy.cookie.attributes
            )
            evaluate = _cookie(
                policy.cookie.name,
                policy.cookie.path,
                None if ttl is None else int(ttl.total_seconds()),
                attributes,
            )
        elif policy.connection_properties is not None:
            if not policy.connection_properties.source_ip:
                continue
            evaluate = _source_ip
        elif policy.query_parameter is not None:
            evaluate = _query(policy.query_parameter.name)
        else:
            raise ValueError("a hash policy needs header, cookie, source_ip or query_parameter")
        steps.append((evaluate, policy.terminal))
    return HashPolicy(tuple(steps))


def _header(name: str, rewrite: Substitute | None) -> Evaluate:
    def evaluate(head: RequestHead, peer: Peer) -> tuple[int | None, str]:
        if name.startswith(":") or name == "host":
            whole = head.get(name)
            values = [] if whole is None else [whole]
        else:
            values = [value for key, value in head.headers if key == name]
        if not values:
            return None, ""
        if rewrite is not None:
            values = [rewrite(value) for value in values]
        # Sorted, so that the order of repeated headers makes no difference.
        hashed = 0
        for value in sorted(values):
            hashed = xx_hash(value, hashed)
        return hashed, ""

    return evaluate


def _cookie(name: str, path: str, ttl: int | None, attributes: str) -> Evaluate:
    def evaluate(head: RequestHead, peer: Peer) -> tuple[int | None, str]:
        value = cookies(head).get(name, "")
        if value:
            return xx_hash(value), ""
        if ttl is None:
            return None, ""
        # The value is made of the connection, so one connection gets one cookie.
        value = f"{xx_hash(peer.remote + peer.local):016x}"
        set_cookie = f'{name}="{value}"'
        if ttl:
            set_cookie += f"; Max-Age={ttl}"
        if path:
            set_cookie += f"; Path={path}"
        return xx_hash(value), f"{set_cookie}{attributes}; HttpOnly"

    return evaluate


def _source_ip(head: RequestHead, peer: Peer) -> tuple[int | None, str]:
    return (xx_hash(peer.address) if peer.address else None), ""


def _query(name: str) -> Evaluate:
    def evaluate(head: RequestHead, peer: Peer) -> tuple[int | None, str]:
        value = head.query().get(name)
        return (None if value is None else xx_hash(value)), ""

    return evaluate
