"""Header operations: what a route adds to, sets on and removes from requests and responses.

In a VirtualService: ``headers.request`` and ``headers.response`` with ``set`` (overwrite),
``add`` (append) and ``remove``, on a route and on a destination.  Envoy runs the levels from
the most specific to the least: weighted cluster, route, virtual host, route configuration (the
last one wins), unless ``most_specific_header_mutations_wins`` turns the order round.  Within
a level: removals first, then every value is computed, then overwrites, then appends.
See them with ``meshctl proxy-config routes POD -o json``.

Sources: Envoy, ``source/common/router/header_parser.cc`` (``HeaderParser::evaluateHeaders``),
HTTP connection manager, "Custom request/response headers".
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from envoy_data_plane.envoy.config.core.v3 import (
    HeaderValueOption,
    HeaderValueOptionHeaderAppendAction,
)
from mitmproxy.http import Response

from mesh.sidecar.filters.head import RequestHead, wire
from mesh.sidecar.filters.substitution_format import (
    FormatContext,
    Formatter,
    Headers,
    compile_format,
    stream_values,
)
from mesh.sidecar.mitm.flow import make_headers
from mesh.sidecar.stream_info import StreamInfo

APPEND, ADD_IF_ABSENT, OVERWRITE, OVERWRITE_IF_EXISTS = range(4)

SINGLE = frozenset(
    [
        "connection",
        "content-length",
        "content-type",
        "date",
        "expect",
        "grpc-message",
        "grpc-status",
        "grpc-timeout",
        "keep-alive",
        "proxy-connection",
        "proxy-status",
        "server",
        "te",
        "transfer-encoding",
        "upgrade",
        "user-agent",
        "via",
        "x-client-trace-id",
        "x-envoy-attempt-count",
        "x-envoy-decorator-operation",
        "x-envoy-degraded",
        "x-envoy-downstream-service-cluster",
        "x-envoy-downstream-service-node",
        "x-envoy-external-address",
        "x-envoy-force-trace",
        "x-envoy-ip-tags",
        "x-envoy-original-host",
        "x-envoy-original-path",
        "x-envoy-ratelimited",
        "x-envoy-retry-grpc-on",
        "x-envoy-retry-on",
        "x-forwarded-client-cert",
        "x-forwarded-for",
        "x-forwarded-host",
        "x-forwarded-port",
        "x-forwarded-proto",
        "x-request-id",
    ]
)
"""Headers that Envoy keeps as one line each ("inline" headers of ``envoy/http/header_map.h``)."""

_NOTHING: Mapping[str, str] = {}


@dataclass(frozen=True, slots=True)
class HeaderOption:
    """One header to add: lower-case name, value (a formatter when it has operators), action."""

    name: str
    value: str
    action: int = APPEND
    keep_empty: bool = False
    formatter: Formatter | None = None


@dataclass(frozen=True, slots=True)
class HeaderMutations:
    """The operations of one level; false when there are none."""

    add: tuple[HeaderOption, ...] = ()
    remove: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.add or self.remove)

    @property
    def has_operators(self) -> bool:
        """Whether a value is worked out from the request (``%PROTOCOL%``)."""
        return any(option.formatter is not None for option in self.add)

    def apply(self, headers: Headers, context: FormatContext) -> Headers:
        """Run the operations and return the new list; ``headers`` stays as it is."""
        if self.remove:
            headers = [pair for pair in headers if pair[0] not in self.remove]
        overwrite: dict[str, str] = {}
        append: Headers = []
        names = {name for name, _ in headers} if self.add else set()
        for option in self.add:
            value = option.formatter(context) if option.formatter else option.value
            if not value and not option.keep_empty:
                continue
            name, action = option.name, option.action
            if action == APPEND or (action == ADD_IF_ABSENT and name not in names):
                append.append((name, value))
            elif action == OVERWRITE or (action == OVERWRITE_IF_EXISTS and name in names):
                overwrite[name] = value
        if overwrite:
            headers = _overwrite(headers, overwrite)
        if append and not SINGLE.isdisjoint(name for name, _ in append):
            headers, append = _joined(headers, append)
        return headers + append if append else headers


NO_MUTATIONS = HeaderMutations()


def _joined(headers: Headers, append: Headers) -> tuple[Headers, Headers]:
    """Append to a line that is there, where Envoy has one line; an empty one is replaced."""
    headers, left = list(headers), []
    for name, value in append:
        place = next((at for at, pair in enumerate(headers) if pair[0] == name), None)
        if name not in SINGLE or place is None:
            left.append((name, value))
        else:
            old = headers[place][1]
            headers[place] = (name, f"{old},{value}" if old else value)
    return headers, left


def _overwrite(headers: Headers, values: dict[str, str]) -> Headers:
    """Put the new value where the name first stood, at the end where it did not."""
    left = dict(values)
    result: Headers = []
    for name, value in headers:
        if name not in values:
            result.append((name, value))
        elif name in left:
            result.append((name, left.pop(name)))
    result.extend(left.items())
    return result


def compile_mutations(
    add: Iterable[HeaderValueOption], remove: Iterable[str], where: str = "headers"
) -> HeaderMutations:
    """Compile one level; ValueError for what Envoy refuses (pseudo headers and Host)."""
    options = []
    for option in add:
        if option.header is None or not option.header.key:
            raise ValueError(f"{where}: a header to add needs a key")
        name = option.header.key.lower()
        _refuse_protected(name, where)
        value = wire(option.header.value) or option.header.raw_value.decode("latin-1")
        action = int(option.append_action)
        if option.append is not None:
            action = APPEND if option.append else OVERWRITE
        try:
            formatter = compile_format(value) if "%" in value else None
        except ValueError as problem:
            raise ValueError(f"{where}: header {name!r}: {problem}") from None
        options.append(HeaderOption(name, value, action, option.keep_empty_value, formatter))
    names = tuple(name.lower() for name in remove)
    for name in names:
        _refuse_protected(name, where)
    return HeaderMutations(tuple(options), names)


def _refuse_protected(name: str, where: str) -> None:
    if name.startswith(":") or name == "host":
        raise ValueError(f"{where}: :-prefixed or host headers may not be modified ({name!r})")


def values_for(
    levels: Iterable[HeaderMutations], info: StreamInfo, response: Response | None = None
) -> Mapping[str, str]:
    """Return what the operators in ``levels`` read: nothing where there are none, as mostly."""
    if any(level.has_operators for level in levels):
        return stream_values(info, response)
    return _NOTHING


def apply_to_request(
    levels: Sequence[HeaderMutations], head: RequestHead, values: Mapping[str, str] = _NOTHING
) -> None:
    """Run the levels on the request's headers, each on what the one before left."""
    for level in levels:
        if level.remove:
            # Formatters already see the request without what this level removes.
            head.headers = [pair for pair in head.headers if pair[0] not in level.remove]
        head.headers = level.apply(head.headers, FormatContext(head, values=values))


def apply_to_response(
    levels: Sequence[HeaderMutations],
    headers: Headers,
    head: RequestHead,
    values: Mapping[str, str] = _NOTHING,
) -> Headers:
    """Run the levels on a response's headers (``head`` is its request); return the new list."""
    for level in levels:
        headers = level.apply(headers, FormatContext(head, headers, values))
    return headers


def change_response(
    levels: Sequence[HeaderMutations],
    response: Response,
    head: RequestHead,
    values: Mapping[str, str] = _NOTHING,
) -> None:
    """Run the levels on ``response``, an answer of a backend or of the sidecar itself."""
    headers = [
        (name.decode("latin-1"), value.decode("latin-1"))
        for name, value in response.data.headers.fields
    ]
    changed = apply_to_response(levels, headers, head, values)
    response.data.headers = make_headers(
        [(name.encode("latin-1"), value.encode("latin-1")) for name, value in changed]
    )


_ACTIONS = HeaderValueOptionHeaderAppendAction
assert (
    int(_ACTIONS.APPEND_IF_EXISTS_OR_ADD),
    int(_ACTIONS.OVERWRITE_IF_EXISTS_OR_ADD),
) == (APPEND, OVERWRITE)
