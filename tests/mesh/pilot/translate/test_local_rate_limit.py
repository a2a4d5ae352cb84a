"""EnvoyFilters: where the local rate limit goes, and what has no effect."""

from __future__ import annotations

import json
from typing import Any

import pytest

from mesh.istio import Problem, era, load_text
from mesh.istio.validate import validate
from mesh.pilot.node import ProxyNode
from mesh.pilot.registry import Registry
from mesh.pilot.translate import listeners
from mesh.pilot.translate.view import MeshView
from mesh.sidecar.xds import unpack

ERA = era("istio-current")
NAME = "envoy.filters.http.local_ratelimit"
TYPE = "type.googleapis.com/envoy.extensions.filters.http.local_ratelimit.v3.LocalRateLimit"
PEER = "envoy.filters.http.header_to_metadata"
ROUTER = "envoy.filters.http.router"
BUCKET = {"max_tokens": 4, "tokens_per_fill": 4, "fill_interval": "60s"}


def limit(**value: Any) -> dict[str, Any]:
    struct = "type.googleapis.com/udpa.type.v1.TypedStruct"
    return {"@type": struct, "type_url": TYPE, "value": {"stat_prefix": "a", **value}}


def patch(**change: Any) -> dict[str, Any]:
    found = {
        "applyTo": "HTTP_FILTER",
        "match": {"context": "SIDECAR_INBOUND"},
        "operation": "INSERT_BEFORE",
        "value": {"name": NAME, "typed_config": limit(token_bucket=BUCKET)},
        **change,
    }
    change = {"operation": found.pop("operation"), "value": found.pop("value")}
    return {**found, "patch": change}


def text(*patches: dict[str, Any], namespace: str = "tutorial", **spec: Any) -> str:
    made = {
        "apiVersion": "networking.istio.io/v1alpha3",
        "kind": "EnvoyFilter",
        "metadata": {"name": "limit", "namespace": namespace},
        "spec": {"configPatches": list(patches), **spec},
    }
    return json.dumps(made)


def problems(document: str) -> list[Problem]:
    loaded = load_text(document, "a.yaml", era=ERA, namespace="tutorial")
    return [*loaded.problems, *validate(loaded.resources, ERA)]


def inbound(document: str, node: ProxyNode) -> Any:
    """Return the HTTP connection manager of ``virtualInbound``."""
    resources = load_text(document, "a.yaml", era=ERA, namespace="tutorial").resources
    view = MeshView(Registry(), tuple(resources), ERA)
    listener = listeners.listeners(view, node)["virtualInbound"]
    return unpack(listener.filter_chains[0].filters[-1].typed_config, "a")


def names(document: str, node: ProxyNode) -> list[str]:
    return [each.name for each in inbound(document, node).http_filters]


def before(name: str) -> dict[str, Any]:
    manager = "envoy.filters.network.http_connection_manager"
    chain = {"filter": {"name": manager, "subFilter": {"name": name}}}
    return {"context": "SIDECAR_INBOUND", "listener": {"filterChain": chain}}


def test_where_the_filter_goes(node: ProxyNode) -> None:
    assert names(text(patch()), node) == [PEER, NAME, ROUTER]
    assert names(text(patch(match=before(ROUTER))), node) == [PEER, NAME, ROUTER]
    assert names(text(patch(match=before("no.such"))), node) == [PEER, ROUTER]
    assert names(text(patch(match={"context": "GATEWAY"})), node) == [PEER, ROUTER]
    port = {"context": "SIDECAR_INBOUND", "listener": {"portNumber": 8081}}
    assert names(text(patch(match=port)), node) == [PEER, ROUTER]
    assert names(text(patch(), namespace="istio-system"), node) == [PEER, NAME, ROUTER]
    assert names(text(patch(), namespace="other"), node) == [PEER, ROUTER]
    assert names(text(patch(), workloadSelector={"labels": {"app": "x"}}), node) == [PEER, ROUTER]


def test_a_route_of_the_way_in_has_a_bucket_of_its_own(node: ProxyNode) -> None:
    vhost = {"name": "inbound|http|8080", "route": {"action": "ANY"}}
    match = {"context": "SIDECAR_INBOUND", "routeConfiguration": {"vhost": vhost}}
    value = {"typed_per_filter_config": {NAME: limit(token_bucket=BUCKET)}}
    changed = patch(applyTo="HTTP_ROUTE", match=match, operation="MERGE", value=value)
    (host,) = inbound(text(patch(), changed), node).route_config.virtual_hosts
    (route,) = host.routes
    assert unpack(route.typed_per_filter_config[NAME], "a").token_bucket.max_tokens == 4
    assert not host.typed_per_filter_config


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"applyTo": "LISTENER"}, "applyTo: LISTENER is not executed"),
        ({"match": {"context": "SIDECAR_OUTBOUND"}}, "context: SIDECAR_OUTBOUND is not executed"),
        ({"operation": "REPLACE"}, "operation: REPLACE of an HTTP_FILTER is not executed"),
        (
            {"value": {"name": "a", "typed_config": {"@type": "type.googleapis.com/envoy.Lua"}}},
            "a filter of type type.googleapis.com/envoy.Lua is not executed",
        ),
        (
            {"value": {"name": NAME, "typed_config": limit(descriptors=[])}},
            "descriptors of LocalRateLimit is not executed",
        ),
    ],
)
def test_patches_without_effect_say_why(
    change: dict[str, Any], reason: str, node: ProxyNode
) -> None:
    document = text(patch(**change))
    (found,) = problems(document)
    assert (found.code, str(found.level)) == ("KIT0011", "info")
    assert found.message.endswith(f"no effect in this kit: {reason}")
    assert names(document, node) == [PEER, ROUTER]


@pytest.mark.parametrize(
    ("bucket", "reason"),
    [
        ({**BUCKET, "max_tokens": "many"}, "max_tokens is a whole number from 1"),
        ({**BUCKET, "fill_interval": "1m"}, "fill_interval is a duration like 60s"),
        ({**BUCKET, "tokens": 1}, "TokenBucket has no field tokens"),
    ],
)
def test_a_limit_that_istio_would_refuse(bucket: dict[str, Any], reason: str) -> None:
    (found,) = problems(
        text(patch(value={"name": NAME, "typed_config": limit(token_bucket=bucket)}))
    )
    assert str(found.level) == "error"
    assert reason in found.message
