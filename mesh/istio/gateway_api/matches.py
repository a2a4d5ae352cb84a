"""Matches: the conditions of an HTTPRoute as those of a VirtualService, and which rule wins.

``PathPrefix`` ends at a slash: ``/foo`` takes ``/foo`` and ``/foo/bar``, never ``/foobar`` (a
VirtualService's ``prefix`` does); ``RegularExpression`` is RE2 on the whole path.  A
VirtualService takes the first rule that fits, an HTTPRoute the most specific one: exact path,
then the longest prefix, then expressions; then a method, then more headers, then more query
parameters; then the older route, and in it the earlier rule.
Source: kubernetes-sigs/gateway-api ``apis/v1`` HTTPRouteRule.matches; istiod's sortHTTPRoutes.
Shown by ``meshctl proxy-config route POD`` (the order is the order of precedence).
"""

from __future__ import annotations

from collections.abc import Sequence

from mesh.istio.models.base import StringMatch
from mesh.istio.models.gateway_api import HTTPPathMatch, HTTPRouteMatch, NameValueMatch
from mesh.istio.models.virtual_service import HTTPMatchRequest, HTTPRoute

_RANK = {"exact": 3, "prefix": 2, "regex": 1}


def converted_match(match: HTTPRouteMatch) -> HTTPMatchRequest:
    """Return Istio's form of one match; the prefix is the one that ends at a slash."""
    return HTTPMatchRequest(
        uri=_uri(match.path or HTTPPathMatch()),
        method=StringMatch(exact=match.method) if match.method else None,
        headers=_pairs(match.headers or (), fold=True) or None,
        query_params=_pairs(match.query_params or (), fold=False) or None,
    )


def path_prefix(match: HTTPRouteMatch) -> str | None:
    """Return the prefix of a match without its last slash; None when it matches otherwise."""
    path = match.path or HTTPPathMatch()
    if path.type not in (None, "PathPrefix"):
        return None
    return (path.value or "/").rstrip("/") or "/"


def precedence(route: HTTPRoute) -> tuple[int, int, bool, int, int]:
    """Return the sort key of a converted rule (one match each): smaller comes first."""
    block = (route.match or [HTTPMatchRequest()])[0]
    uri = block.uri or StringMatch(prefix="/")
    kind = "exact" if uri.exact is not None else "prefix" if uri.prefix is not None else "regex"
    text = uri.exact or uri.prefix or uri.regex or ""
    return (
        -_RANK[kind],
        -len(text),
        block.method is None,
        -len(block.headers or {}),
        -len(block.query_params or {}),
    )


def _uri(path: HTTPPathMatch) -> StringMatch:
    value = path.value or "/"
    if path.type == "Exact":
        return StringMatch(exact=value)
    if path.type == "RegularExpression":
        return StringMatch(regex=value)
    return StringMatch(prefix=value.rstrip("/") or "/")


def _pairs(conditions: Sequence[NameValueMatch], *, fold: bool) -> dict[str, StringMatch]:
    """Return conditions by name; of several with one name the first counts, as the API says."""
    found: dict[str, StringMatch] = {}
    for each in conditions:
        name = each.name.lower() if fold else each.name
        regex = each.type == "RegularExpression"
        value = StringMatch(regex=each.value) if regex else StringMatch(exact=each.value)
        found.setdefault(name, value)
    return found
