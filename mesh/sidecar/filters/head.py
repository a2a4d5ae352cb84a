"""RequestHead: the part of a request on which every decision of the data plane is taken.

Envoy calls it the header map: method, scheme, authority and path are headers too
(``:method``, ``:scheme``, ``:authority``, ``:path``), so a header matcher of a route can name
them.  A header that was sent twice has two values: a matcher holds when one of them does
(observed with Envoy 1.40), a format reads the first, ``get`` joins them by a comma.
See what a request looked like with ``meshctl explain REQUEST``.

Source: Envoy, ``source/common/http/header_utility.cc``.
"""

from __future__ import annotations


class RequestHead:
    """Method, scheme, authority, path (with its query) and headers of one request.

    ``headers`` is a list of (lower-case name, value).  Replace the list, never change it in
    place: ``get`` keeps an index of it.
    """

    __slots__ = ("_headers", "_index", "_query", "authority", "method", "path", "scheme")

    def __init__(
        self,
        method: str,
        scheme: str,
        authority: str,
        path: str,
        headers: list[tuple[str, str]] | None = None,
    ) -> None:
        self.method = method
        self.scheme = scheme
        self.authority = authority
        self.path = path
        self._headers: list[tuple[str, str]] = [] if headers is None else headers
        self._index: dict[str, tuple[str, ...]] | None = None
        self._query: tuple[str, dict[str, str]] | None = None

    @property
    def headers(self) -> list[tuple[str, str]]:
        """The headers in the order in which they came."""
        return self._headers

    @headers.setter
    def headers(self, headers: list[tuple[str, str]]) -> None:
        self._headers = headers
        self._index = None

    def get(self, name: str) -> str | None:
        """Value of the header ``name`` (lower case), repeats joined by a comma; None if absent."""
        values = self.values(name)
        if not values:
            return None
        return values[0] if len(values) == 1 else ",".join(values)

    def values(self, name: str) -> tuple[str, ...]:
        """All values of the header ``name`` (lower case), in order; none if it is absent."""
        index = self._index
        if index is None:
            index = {}
            for key, value in self._headers:
                index[key] = (*index[key], value) if key in index else (value,)
            self._index = index
        found = index.get(name)
        if found is not None:
            return found
        pseudo = self._pseudo(name)
        return () if pseudo is None else (pseudo,)

    def _pseudo(self, name: str) -> str | None:
        if name == ":method":
            return self.method
        if name in (":authority", "host"):
            return self.authority
        if name == ":path":
            return self.path or None
        if name == ":scheme":
            return self.scheme
        return None

    def query(self) -> dict[str, str]:
        """Query parameters as sent (not decoded); the first value of a repeated one."""
        cached = self._query
        if cached is not None and cached[0] == self.path:
            return cached[1]
        parameters: dict[str, str] = {}
        for pair in self.path.partition("?")[2].partition("#")[0].split("&"):
            if pair:
                key, _, value = pair.partition("=")
                parameters.setdefault(key, value)
        self._query = (self.path, parameters)
        return parameters

    def __repr__(self) -> str:
        return f"RequestHead({self.method} {self.scheme}://{self.authority}{self.path})"


def wire(text: str) -> str:
    """Return ``text`` of a configuration as it looks on the wire: one character a byte of UTF-8.

    Requests are decoded byte by byte (latin-1), so ``é`` in a header is two characters there.
    """
    return text if text.isascii() else text.encode().decode("latin-1")


def path_of(path: str) -> str:
    """``path`` without query and fragment: what path matches and rewrites look at."""
    cut = path.find("?")
    if cut >= 0:
        path = path[:cut]
    cut = path.find("#")
    return path if cut < 0 else path[:cut]
