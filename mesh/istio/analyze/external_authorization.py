"""KIT0117: an AuthorizationPolicy with ``action: CUSTOM`` that nobody can be asked about.

istiod takes such a policy and notes the reason in its log, in these words; the sidecars then refuse
whatever the rules match (403 ``RBAC: access denied``).  Providers stand in meshConfig: the ConfigMap
``istio`` of ``istio-system``, or ``extension_providers`` of a topology.
"""

from __future__ import annotations

from collections.abc import Iterator

import yaml

from mesh.istio import extension_providers
from mesh.istio.analyze.context import Context
from mesh.istio.extension_providers import ExtensionProvider
from mesh.istio.models.authorization_policy import AuthorizationPolicy
from mesh.istio.models.kubernetes import ConfigData
from mesh.istio.nearest import nearest
from mesh.istio.problem import Level, Problem
from mesh.topology import ROOT_NAMESPACE


def custom_providers(context: Context) -> Iterator[Problem]:
    """Check whom CUSTOM policies ask; nothing is said where meshConfig is not known."""
    known = _providers(context)
    if known is None:
        return
    for resource in context.by_kind.get("AuthorizationPolicy", ()):
        spec = resource.spec
        if not isinstance(spec, AuthorizationPolicy) or spec.action != "CUSTOM":
            continue
        name = (spec.provider.name if spec.provider else "") or ""
        found = known.get(name)
        near = ""
        if found is None:
            text = f'available providers are [{" ".join(known)}] but found "{name}"'
            hint = "Write it into extensionProviders of meshConfig."
            near = nearest(name, known)
        else:
            service = found.envoy_ext_authz_http.service
            host = service.rpartition("/")[2].lower()
            if not context.knows_services or context.known_hosts.covers(host):
                continue
            text = f"could not find service {service} in Istio service registry"
            hint = f"Provider {name} needs the full name of a service that runs."
        yield resource.problem(
            "KIT0117",
            Level.WARNING,
            f"failed to process CUSTOM action, will generate deny configs for the specified rules: "
            f"{text}",
            "spec.provider.name",
            expected=" ".join(known),
            nearest=near,
            hint=f"Did you mean {near}?" if near else hint,
        )


def _providers(context: Context) -> dict[str, ExtensionProvider] | None:
    """Return the providers by name; None when nobody said what meshConfig is, or it is wrong."""
    found: list[ExtensionProvider] = []
    maps = [
        each.spec.data or {}
        for each in context.by_kind.get("ConfigMap", ())
        if (each.namespace, each.name) == (ROOT_NAMESPACE, "istio")
        and isinstance(each.spec, ConfigData)
    ]
    if context.topology is None and not maps:
        return None
    raw: list[object] = [list(context.topology.extension_providers)] if context.topology else []
    try:
        for data in maps:
            whole = yaml.safe_load(data.get("mesh", "")) or {}
            raw.append(whole.get(extension_providers.KEY) if isinstance(whole, dict) else None)
        for each in raw:
            found += extension_providers.read(each, extension_providers.KEY)
    except (yaml.YAMLError, ValueError):
        return None  # the control plane refuses it, and says why
    return {each.name: each for each in found}
