"""IST0151 to IST0155: EnvoyFilters whose patches are left out, or depend on the order.

INSERT_BEFORE, INSERT_AFTER, REPLACE and REMOVE look for what is there already; what another EnvoyFilter
brings may come later, unless ``priority`` says otherwise.  The HTTP connection manager and its router
are always there, so a filter put before the router or before all others is left alone.
Source: istio/istio ``pkg/config/analysis/analyzers/envoyfilter``.
"""

from __future__ import annotations

from collections.abc import Iterator

from mesh.istio.analyze.context import Context
from mesh.istio.models.envoy_filter import ConfigPatch, EnvoyFilter, FilterMatch
from mesh.istio.problem import Level, Problem

_RELATIVE = frozenset(["INSERT_BEFORE", "INSERT_AFTER", "REPLACE", "REMOVE"])
_NEVER_HERE = frozenset(["ROUTE_CONFIGURATION", "HTTP_ROUTE"])
_REPLACED = frozenset(["NETWORK_FILTER", "HTTP_FILTER", "VIRTUAL_HOST"])
_MANAGER = "envoy.filters.network.http_connection_manager"
_ROUTER = "envoy.filters.http.router"
_ADVICE = (
    "can cause the EnvoyFilter not to be applied{}. Using the INSERT_FIRST {} ADD option or "
    "setting the priority may help in ensuring the EnvoyFilter is applied correctly."
)


def envoy_patches(context: Context) -> Iterator[Problem]:
    """Check the operations of all patches, in the order of the files."""
    versioned: set[str] = set()
    for resource in context.by_kind.get("EnvoyFilter", ()):
        spec = resource.spec
        if not isinstance(spec, EnvoyFilter):
            continue
        for index, each in enumerate(spec.config_patches or ()):
            code, level, text, hint = _said(each, spec.priority or 0, versioned)
            if code:
                path = f"spec.configPatches[{index}].patch.operation"
                yield resource.problem(code, level, text, path, hint=hint)
            proxy = each.match.proxy if each.match else None
            if proxy is not None and proxy.proxy_version:
                versioned.add(_name(each))


def _said(each: ConfigPatch, priority: int, versioned: set[str]) -> tuple[str, Level, str, str]:
    operation = (each.patch.operation if each.patch else None) or ""
    target = each.apply_to or ""
    if operation in ("ADD", "REMOVE") and target in _NEVER_HERE:
        return (
            "IST0153" if operation == "ADD" else "IST0154",
            Level.ERROR,
            f"The {operation} operation will be ignored when applyTo is set to "
            "ROUTE_CONFIGURATION, or HTTP_ROUTE.",
            "MERGE is what works there.",
        )
    if operation == "REPLACE" and target not in _REPLACED:
        text = "The REPLACE operation is only valid for HTTP_FILTER and NETWORK_FILTER."
        return "IST0152", Level.ERROR, text, "MERGE changes what is there."
    if operation not in _RELATIVE or priority or _before_router(each, operation):
        return "", Level.INFO, "", ""
    hint = "Write `priority: 1` (higher ones come later), or use INSERT_FIRST."
    if _name(each) in versioned:
        text = (
            "This EnvoyFilter does not have a priority and has a relative patch operation "
            "(NSTERT_BEFORE/AFTER, REPLACE, MERGE, DELETE) and proxyVersion set which "
            + _ADVICE.format(" during an upgrade", "or")
        )
        return "IST0155", Level.WARNING, text, hint
    text = (
        "This EnvoyFilter does not have a priority and has a relative patch operation set which "
        + _ADVICE.format("", "of")
    )
    return "IST0151", Level.WARNING, text, hint


def _before_router(each: ConfigPatch, operation: str) -> bool:
    """True for a filter put before the router, or before everything in the connection manager."""
    found = _filter(each)
    if operation != "INSERT_BEFORE" or found is None or found.name != _MANAGER:
        return False
    return found.sub_filter is None or found.sub_filter.name == _ROUTER


def _filter(each: ConfigPatch) -> FilterMatch | None:
    listener = each.match.listener if each.match else None
    chain = listener.filter_chain if listener else None
    return chain.filter if chain else None


def _name(each: ConfigPatch) -> str:
    """Return what a patch brings, by its name; else the filter that it looks for."""
    value = (each.patch.value if each.patch else None) or {}
    if not value:
        return ""
    found = _filter(each)
    return str(value.get("name") or (found.name if found else "") or "")
