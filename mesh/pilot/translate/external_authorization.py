"""AuthorizationPolicy with ``action: CUSTOM`` -> Envoy's filter ``ext_authz``: a server of one's own decides.

The policy names a provider of meshConfig (``mesh.istio.extension_providers``), its rules which requests
are asked about.  Two filters stand before all other policies: an RBAC filter whose rules only note
which of them matches (shadow rules), and ``ext_authz``, which asks when something was noted.
Where the provider is not there, is not to be found, or policies of one workload name several of them,
Istio refuses whatever the rules match: 403, ``...-deny-due-to-bad-CUSTOM-action``.
Source: istio/istio 1.28 ``pilot/pkg/security/authz/builder/builder.go``, ``.../extauthz.go``.
Shown by ``meshctl proxy-config listener POD -o json`` and ``meshctl logs POD`` (flag UAEX).
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta

from betterproto2 import Message
from envoy_data_plane.envoy.config.core.v3 import HeaderValue, HttpUri
from envoy_data_plane.envoy.config.rbac.v3 import Rbac, RbacAction
from envoy_data_plane.envoy.extensions.filters.http.ext_authz.v3 import (
    AuthorizationRequest,
    AuthorizationResponse,
    ExtAuthz,
    HttpService,
)
from envoy_data_plane.envoy.extensions.filters.http.rbac.v3 import Rbac as RbacFilter
from envoy_data_plane.envoy.type.matcher.v3 import (
    ListStringMatcher,
    MetadataMatcher,
    MetadataMatcherPathSegment,
    StringMatcher,
    ValueMatcher,
)
from envoy_data_plane.envoy.type.v3 import HttpStatus, StatusCode

from mesh.istio.extension_providers import ExtAuthzHttp
from mesh.pilot.node import ProxyNode
from mesh.pilot.translate import authorization_policy, names
from mesh.pilot.translate.authorization_policy import Adapt
from mesh.pilot.translate.view import MeshView

FILTER = "envoy.filters.http.ext_authz"
RBAC_FILTER = authorization_policy.FILTER
CUSTOM = "CUSTOM"
POLICY_PREFIX = "istio-ext-authz"
STAT_PREFIX = "istio_ext_authz_"
BAD = "-deny-due-to-bad-CUSTOM-action"
TIMEOUT = timedelta(seconds=600)


class ProviderError(ValueError):
    """Nobody can be asked; the text is istiod's."""


def filters(view: MeshView, node: ProxyNode) -> list[tuple[str, Message]]:
    """Return the two filters, or the one that refuses; nothing where no policy asks."""
    found = authorization_policy.policies(view, node, CUSTOM, prefix=f"{POLICY_PREFIX}-")
    if not found:
        return []
    refused = refusals(view, node)
    if refused is not None:
        return [(RBAC_FILTER, RbacFilter(rules=refused))]
    noting = RbacFilter(
        shadow_rules=Rbac(action=RbacAction.DENY, policies=found),
        shadow_rules_stat_prefix=STAT_PREFIX,
    )
    return [(RBAC_FILTER, noting), (FILTER, _asking(view, node))]


def refusals(
    view: MeshView, node: ProxyNode, adapt: Adapt = authorization_policy.as_it_is
) -> Rbac | None:
    """Return the rules that refuse because nobody can be asked; None where somebody can.

    ``adapt`` may change a rule, as in ``authorization_policy.rules``; it is told DENY.
    """
    try:
        if any(authorization_policy.selected(view, node, CUSTOM)):
            provider(view, node)
        return None
    except ProviderError:
        pass
    found = authorization_policy.policies(
        view, node, CUSTOM, lambda rule, _action: adapt(rule, "DENY"), f"{POLICY_PREFIX}-"
    )
    return Rbac(action=RbacAction.DENY, policies={name + BAD: each for name, each in found.items()})


def provider(view: MeshView, node: ProxyNode) -> tuple[ExtAuthzHttp, str, str]:
    """Return whom the policies of a node ask: settings, host and cluster.  ProviderError: nobody."""
    wanted = list(
        dict.fromkeys(
            each.spec.provider.name or ""
            for each in authorization_policy.selected(view, node, CUSTOM)
            if each.spec.provider is not None
        )
    )
    if len(wanted) > 1:
        listed = " ".join(wanted)
        raise ProviderError(
            f"only 1 provider can be used per workload, found multiple providers: [{listed}]"
        )
    known = {each.name: each.envoy_ext_authz_http for each in view.mesh_config.extension_providers}
    if not wanted or wanted[0] not in known:
        listed = " ".join(known)
        raise ProviderError(f'available providers are [{listed}] but found "{"".join(wanted)}"')
    settings = known[wanted[0]]
    host, cluster = _find(view, settings)
    return settings, host, cluster


def _find(view: MeshView, settings: ExtAuthzHttp) -> tuple[str, str]:
    """Return host and cluster of the server, wherever in the mesh it is."""
    namespace, _, host = settings.service.rpartition("/")
    service = (view.whole or view).services.get(host.lower())
    if service is None or (namespace and service.namespace != namespace):
        raise ProviderError(f"could not find service {settings.service} in Istio service registry")
    return service.hostname, names.outbound(settings.port, "", service.hostname)


def _asking(view: MeshView, node: ProxyNode) -> ExtAuthz:
    settings, host, cluster = provider(view, node)
    added = settings.include_additional_headers_in_check or {}
    service = HttpService(
        server_uri=HttpUri(
            uri=f"http://{host}",
            cluster=cluster,
            timeout=settings.timeout if settings.timeout is not None else TIMEOUT,
        ),
        path_prefix=settings.path_prefix or "",
    )
    if added:
        service.authorization_request = AuthorizationRequest(
            headers_to_add=[HeaderValue(key=key, value=added[key]) for key in sorted(added)]
        )
    on_allow, on_deny = (
        settings.headers_to_upstream_on_allow,
        settings.headers_to_downstream_on_deny,
    )
    if on_allow or on_deny or settings.headers_to_downstream_on_allow:
        service.authorization_response = AuthorizationResponse(
            allowed_upstream_headers=_headers(on_allow),
            allowed_client_headers=_headers(on_deny),
            allowed_client_headers_on_success=_headers(settings.headers_to_downstream_on_allow),
        )
    status = settings.status_on_error
    return ExtAuthz(
        http_service=service,
        failure_mode_allow=bool(settings.fail_open),
        status_on_error=HttpStatus(code=StatusCode(int(status))) if status else None,
        allowed_headers=_headers(
            settings.include_request_headers_in_check or settings.include_headers_in_check
        ),
        filter_enabled_metadata=_noted(),
    )


def _noted() -> MetadataMatcher:
    key = MetadataMatcherPathSegment(key=f"{STAT_PREFIX}shadow_effective_policy_id")
    value = ValueMatcher(string_match=StringMatcher(prefix=POLICY_PREFIX))
    return MetadataMatcher(filter=RBAC_FILTER, path=[key], value=value)


def _headers(wanted: Iterable[str] | None) -> ListStringMatcher | None:
    """Return the matchers of header names as Istio writes them; ``*`` at one end."""
    patterns = [
        StringMatcher(suffix=each[1:], ignore_case=True)
        if each.startswith("*")
        else StringMatcher(prefix=each[:-1], ignore_case=True)
        if each.endswith("*")
        else StringMatcher(exact=each, ignore_case=True)
        for each in wanted or ()
    ]
    return ListStringMatcher(patterns=patterns) if patterns else None
