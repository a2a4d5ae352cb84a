"""MeshConfig's ``extensionProviders``: the servers that policies may name.

``envoyExtAuthzHttp`` is executed: an AuthorizationPolicy with ``action: CUSTOM`` and
``provider: {name: NAME}`` asks that server before a request goes on.  It is asked with the method,
path, Host and ``authorization`` of the request, and the headers in ``includeRequestHeadersInCheck``
(``x-*`` and ``*-id`` are forms, a lone ``*`` is none); 200 lets the request through.
A kind of provider that is not executed is refused, since a setting that does nothing would be believed.
Source: istio/api ``mesh/v1alpha1/config.proto``; istio/istio ``pkg/config/validation/agent/
extensionprovider.go``, ``pilot/pkg/security/authz/builder/extauthz.go``.
Shown by ``meshctl proxy-config listener POD -o json``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from http import HTTPStatus
from typing import Annotated

from pydantic import Field, ValidationError

from mesh.istio.models.base import Duration, Model, Struct

KEY = "extensionProviders"
HTTP = "envoyExtAuthzHttp"
_NAME = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_SERVICE = re.compile(r"([a-z0-9-]+/)?[a-zA-Z0-9]([-a-zA-Z0-9]*)(\.[a-zA-Z0-9][-a-zA-Z0-9]*)*")
_HEADERS = (
    "include_request_headers_in_check",
    "include_headers_in_check",
    "headers_to_upstream_on_allow",
    "headers_to_downstream_on_allow",
    "headers_to_downstream_on_deny",
)


class ExtAuthzHttp(Model):
    """``envoyExtAuthzHttp``: a server that is asked over HTTP; ``timeout`` is 600 s when missing.

    ``fail_open``: requests pass when it does not answer; else they get ``status_on_error`` (403).
    """

    service: str
    port: Annotated[int, Field(ge=1, le=65535)]
    timeout: Duration | None = None
    path_prefix: str | None = None
    fail_open: bool | None = None
    status_on_error: str | None = None
    include_headers_in_check: list[str] | None = None
    include_request_headers_in_check: list[str] | None = None
    include_additional_headers_in_check: dict[str, str] | None = None
    include_request_body_in_check: Struct | None = None
    clear_route_cache: bool | None = None
    headers_to_upstream_on_allow: list[str] | None = None
    headers_to_downstream_on_allow: list[str] | None = None
    headers_to_downstream_on_deny: list[str] | None = None


class ExtensionProvider(Model):
    """One entry of the list."""

    name: str
    envoy_ext_authz_http: ExtAuthzHttp


def read(raw: object, place: str) -> tuple[ExtensionProvider, ...]:
    """Read the list; ValueError, one sentence that begins with ``place``, for what cannot be executed."""
    if raw is None:
        return ()
    if not isinstance(raw, list):
        raise ValueError(f"{place}: a list of providers is needed, not {raw!r}")
    found: dict[str, ExtensionProvider] = {}
    for index, each in enumerate(raw):
        made = _one(each, f"{place}[{index}]")
        if made.name in found:
            raise ValueError(f"{place}[{index}].name: there are two providers {made.name!r}")
        found[made.name] = made
    return tuple(found.values())


def _one(raw: object, place: str) -> ExtensionProvider:
    if not isinstance(raw, dict):
        raise ValueError(f"{place}: name and {HTTP} are needed, not {raw!r}")
    kinds = [str(key) for key in raw if key not in ("name", HTTP)]
    if kinds:
        raise ValueError(f"{place}: {kinds[0]} is not executed here: write {HTTP}")
    try:
        made = ExtensionProvider.model_validate(raw)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, (place, *first["loc"])))
        raise ValueError(f"{where}: {first['msg']}, not {first['input']!r}") from None
    for path, text in _wrong(made):
        raise ValueError(f"{place}.{path}: {text}")
    return made


def _wrong(provider: ExtensionProvider) -> Iterable[tuple[str, str]]:
    """Yield what Istio's validation refuses, and what is not executed: where, and a sentence."""
    http = provider.envoy_ext_authz_http
    if not _NAME.fullmatch(provider.name):
        yield "name", f"lower-case letters, digits and hyphens are needed, not {provider.name!r}"
    if not _SERVICE.fullmatch(http.service):
        text = f"a service's full name (or NAMESPACE/NAME) is needed, not {http.service!r}"
        yield f"{HTTP}.service", text
    if http.path_prefix and not http.path_prefix.startswith("/"):
        yield f"{HTTP}.pathPrefix", f"it should begin with `/`, found {http.path_prefix!r}"
    if http.status_on_error and http.status_on_error not in _STATUSES:
        yield f"{HTTP}.statusOnError", f"a status is needed, not {http.status_on_error!r}"
    for name in _HEADERS:
        if "*" in (getattr(http, name) or ()):
            text = 'a single wildcard ("*") is not supported, change it to either prefix or suffix'
            yield f"{HTTP}.{ExtAuthzHttp.model_fields[name].alias}", f"{text} match"
    if http.include_request_body_in_check is not None:
        yield f"{HTTP}.includeRequestBodyInCheck", "it is not executed here: leave it out"
    if http.clear_route_cache:
        yield f"{HTTP}.clearRouteCache", "it is not executed here: leave it out"


_STATUSES = frozenset(
    str(each.value) for each in HTTPStatus if each not in (101, 102, 103, 418, 425, 451)
)
"""Those that Envoy has a name for (``envoy/type/v3/http_status.proto``)."""
