"""IST0101, KIT0114, KIT0115, KIT0116: HTTPRoutes that are attached to nothing or lead nowhere.

A cluster says it in the route's ``status`` (Accepted, ResolvedRefs), where few look; requests get
404 at the gateway, or 500.  The texts are those of that status.
Source: istio/istio ``pilot/pkg/config/kube/gateway/conversion.go``.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from mesh.istio.analyze.context import MESH, Context
from mesh.istio.analyze.hosts import resolve
from mesh.istio.gateway_api.backends import granted, is_service
from mesh.istio.gateway_api.listeners import CLASS, OpenListener, by_parent, open_listeners
from mesh.istio.gateway_api.objects import Named, Objects, hostname, sort_out
from mesh.istio.gateway_api.parents import (
    MAX_HOSTNAMES,
    MAX_PARENTS,
    is_gateway,
    of_parent,
    shared_host,
)
from mesh.istio.gateway_api.parents import is_service as is_service_parent
from mesh.istio.models.gateway_api import (
    BackendObjectReference,
    HTTPRoute,
    KubernetesGateway,
    ParentReference,
)
from mesh.istio.nearest import listed, nearest
from mesh.istio.problem import Level, Problem
from mesh.istio.resource import Resource

CODE = "IST0101"
ATTACHED = "KIT0114"
BACKEND = "KIT0115"
BOTH = "KIT0116"


@dataclass(frozen=True, slots=True)
class _Scene:
    """Everything of the Gateway API that is known."""

    context: Context
    objects: Objects
    listeners: dict[str, list[OpenListener]]
    gateways: dict[str, KubernetesGateway]
    mesh_services: dict[str, list[Resource]]
    """VirtualServices of the mesh by host."""


def http_routes(context: Context) -> Iterator[Problem]:
    """Check parents and backends of all HTTPRoutes."""
    routes = [
        (each, each.spec)
        for each in context.by_kind.get("HTTPRoute", ())
        if isinstance(each.spec, HTTPRoute)
    ]
    if not routes:
        return
    objects = sort_out(context.resources)
    gateways = {f"{each.namespace}/{each.name}": each.spec for each in objects.gateways}
    mesh_services: dict[str, list[Resource]] = {}
    for other, spec in context.virtual_services():
        if MESH in (spec.gateways or [MESH]):
            for host in spec.hosts or ():
                mesh_services.setdefault(resolve(host, other.namespace), []).append(other)
    scene = _Scene(context, objects, by_parent(open_listeners(objects)), gateways, mesh_services)
    for resource, route in routes:
        at_gateway = False
        for index, ref in enumerate((route.parent_refs or [])[:MAX_PARENTS]):
            path = f"spec.parentRefs[{index}]"
            at_gateway = at_gateway or is_gateway(ref)
            if is_service_parent(ref):
                yield from _service(scene, resource, ref, path)
            elif is_gateway(ref):
                yield from _gateway(scene, resource, route, ref, path)
            else:
                text = f'parentRef of kind "{ref.kind}": accepted, no effect in this kit'
                hint = 'Name a Gateway, or a Service (`group: ""`, `kind: Service`).'
                yield resource.problem(ATTACHED, Level.WARNING, text, path, hint=hint)
        for path, backend in _backends(route):
            yield from _backend(scene, resource, backend, path, at_gateway=at_gateway)


def _service(
    scene: _Scene, resource: Resource, ref: ParentReference, path: str
) -> Iterator[Problem]:
    context, host = scene.context, hostname(ref.name, ref.namespace or resource.namespace)
    if context.knows_services and host not in context.services:
        yield _not_found(context, resource, f"{path}.name", "host", ref.name)
    for other in scene.mesh_services.get(host, ())[:1]:
        text = (
            f"VirtualService {other.namespace}/{other.name} and this HTTPRoute both route "
            f"{host} in the mesh: only one of them is in force"
        )
        hint = f"Keep one of the two; here the VirtualService wins ({other.position()})."
        yield resource.problem(BOTH, Level.WARNING, text, path, hint=hint)


def _gateway(
    scene: _Scene, resource: Resource, spec: HTTPRoute, ref: ParentReference, path: str
) -> Iterator[Problem]:
    namespace = ref.namespace or resource.namespace
    found = scene.gateways.get(f"{namespace}/{ref.name}")
    if found is None:
        if scene.gateways:
            there = listed(scene.gateways)
            names = [each.partition("/")[2] for each in scene.gateways]
            yield resource.problem(
                CODE,
                Level.ERROR,
                f'Referenced gateway not found: "{namespace}/{ref.name}"',
                f"{path}.name",
                expected=there,
                nearest=nearest(ref.name, names),
                hint=f"There is {there} (`namespace:` names another namespace).",
            )
        return
    if found.gateway_class_name != CLASS:
        return
    text, hint, where = _why_not(scene, resource, spec, ref)
    if text:
        yield resource.problem(ATTACHED, Level.WARNING, text, f"{path}{where}", hint=hint)


def _why_not(
    scene: _Scene, resource: Resource, spec: HTTPRoute, ref: ParentReference
) -> tuple[str, str, str]:
    """Return the reason why the route is not attached, what to do, and the field; empty: it is."""
    all_of_it = scene.listeners.get(f"{ref.namespace or resource.namespace}/{ref.name}", [])
    sections = listed(f"{each.section} ({each.port})" for each in all_of_it) or "none for HTTP"
    hint = f"The listeners of this Gateway: {sections}."
    if ref.section_name is not None and ref.section_name not in [one.section for one in all_of_it]:
        return f'sectionName "{ref.section_name}" not found', hint, ".sectionName"
    if ref.port is not None and ref.port not in [each.port for each in all_of_it]:
        return f"port {ref.port} not found", hint, ".port"
    meant = of_parent(ref, resource.namespace, scene.listeners)
    if not meant:
        return "no listener of this Gateway takes this route", hint, ""
    allowed = [each for each in meant if each.allows(resource.namespace)]
    if not allowed:
        return (
            f'hostnames matched parent hostname "{_shown(meant[0])}", but namespace '
            f'"{resource.namespace}" is not allowed by the parent',
            "Set `allowedRoutes: {namespaces: {from: All}}` at the listener.",
            ".name",
        )
    names = (spec.hostnames or ["*"])[:MAX_HOSTNAMES]
    if not any(
        shared_host(name.lower(), each.hostname.lower()) for name in names for each in allowed
    ):
        shown = listed({each.hostname for each in allowed})
        return (
            f'no hostnames matched parent hostname "{_shown(allowed[0])}"',
            f"The Gateway listens to {shown}: use one of these hosts.",
            ".name",
        )
    return "", "", ""


def _shown(listener: OpenListener) -> str:
    return "" if listener.hostname == "*" else listener.hostname


def _backends(spec: HTTPRoute) -> Iterator[tuple[str, BackendObjectReference]]:
    for number, rule in enumerate(spec.rules or ()):
        for index, each in enumerate(rule.backend_refs or ()):
            yield f"spec.rules[{number}].backendRefs[{index}]", each
        for index, one in enumerate(rule.filters or ()):
            if one.request_mirror is not None:
                path = f"spec.rules[{number}].filters[{index}].requestMirror.backendRef"
                yield path, one.request_mirror.backend_ref


def _backend(
    scene: _Scene,
    resource: Resource,
    ref: BackendObjectReference,
    path: str,
    *,
    at_gateway: bool,
) -> Iterator[Problem]:
    context, namespace = scene.context, ref.namespace or resource.namespace
    if not is_service(ref):
        text = (
            f'referencing unsupported backendRef: group "{ref.group or ""}" kind "{ref.kind or ""}"'
        )
        hint = "Its share of the requests is answered 500; name a Service."
        yield resource.problem(BACKEND, Level.WARNING, text, f"{path}.kind", hint=hint)
        return
    route = Named(resource.namespace, resource.name, HTTPRoute())
    foreign = namespace != resource.namespace
    if at_gateway and foreign and not granted(ref, route, scene.objects.grants):
        text = (
            f"backendRef {ref.name}/{namespace} not accessible to a HTTPRoute in namespace "
            f'"{resource.namespace}" (missing a ReferenceGrant?)'
        )
        hint = f"Requests are answered 500; write a ReferenceGrant in namespace {namespace}."
        yield resource.problem(BACKEND, Level.WARNING, text, f"{path}.namespace", hint=hint)
    if not context.knows_services:
        return
    host = hostname(ref.name, namespace)
    ports = context.services.get(host)
    if ports is None:
        yield _not_found(context, resource, f"{path}.name", "host", ref.name)
    elif ref.port is not None and ports and ref.port not in ports:
        shown = ", ".join(map(str, ports))
        yield resource.problem(
            CODE,
            Level.ERROR,
            f'Referenced host:port not found: "{ref.name}:{ref.port}"',
            f"{path}.port",
            expected=shown,
            hint=f"The Service has {shown}; until then requests are answered 500.",
        )


def _not_found(context: Context, resource: Resource, path: str, what: str, name: str) -> Problem:
    near = nearest(name.lower(), context.service_names)
    return resource.problem(
        CODE,
        Level.ERROR,
        f'Referenced {what} not found: "{name}"',
        path,
        expected=context.services_text,
        nearest=near,
        hint=f"Did you mean {near}?" if near else "Name a Service that runs.",
    )
