"""What ``encode`` writes is what the library writes, for real configurations and for odd values."""

from copy import copy
from datetime import timedelta
from typing import Any

import pytest
from betterproto2 import Message
from envoy_data_plane.envoy.config.cluster.v3 import (
    CircuitBreakersThresholds,
    Cluster,
    ClusterDiscoveryType,
)
from envoy_data_plane.envoy.config.core.v3 import Metadata, Node
from envoy_data_plane.envoy.config.route.v3 import RetryPolicy, RouteAction
from envoy_data_plane.envoy.service.discovery.v3 import DiscoveryResponse
from envoy_data_plane.google import protobuf
from hypothesis import given
from hypothesis import strategies as st

from mesh.istio import load_text
from mesh.istio.eras import era
from mesh.pilot.encode import EncodingCodec, encode, sealed, varint
from mesh.pilot.node import ProxyNode
from mesh.pilot.registry import Registry
from mesh.pilot.translate import translate
from mesh.pilot.translate.messages import pack, struct
from mesh.pilot.translate.view import MeshView
from mesh.topology import Pod, Service, Workload

RULES = """
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: a}
spec:
  hosts: [a]
  http:
    - match: [{headers: {user: {regex: "a.*"}}, uri: {prefix: /x}}]
      fault: {delay: {fixedDelay: 7s, percentage: {value: 0.5}}}
      retries: {attempts: 3, perTryTimeout: 0.25s, retryOn: "5xx,503"}
      corsPolicy: {allowOrigins: [{exact: "*"}], maxAge: 24h}
      route: [{destination: {host: a, subset: v1}, weight: 100}]
    - route: [{destination: {host: a}}]
      mirror: {host: a, subset: v1}
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: a}
spec:
  host: a
  trafficPolicy:
    connectionPool: {http: {http1MaxPendingRequests: 1, maxRetries: 0}}
    outlierDetection: {consecutive5xxErrors: 3, interval: 10s, maxEjectionPercent: 0}
    loadBalancer: {consistentHash: {httpCookie: {name: c, ttl: 0s}}}
  subsets: [{name: v1, labels: {version: v1}}]
"""


def snapshot() -> list[tuple[str, Message]]:
    registry = Registry()
    registry.add_service(Service("a", "default", workloads=(Workload("a-v1", "services.a"),)))
    registry.add_pod(Pod("p", "default", "a", "v1", {"version": "v1"}, "a", "127.0.0.1", {8080: 1}))
    resources = load_text(RULES, "", era=era("istio-current"), namespace="default").resources
    view = MeshView(registry, tuple(resources), era("istio-current"))
    node = ProxyNode("n", "default", inbound_ports={8080: 1}, outbound_port=2, access_log="/a")
    found = translate(view, node)
    return [(name, each) for content in found.values() for name, each in content.items()]


@pytest.mark.parametrize(("name", "message"), snapshot(), ids=lambda each: str(each)[:60])
def test_a_whole_configuration(name: str, message: Message) -> None:
    assert encode(message) == bytes(message)
    assert type(message).parse(encode(message)) == message


ODD: list[Message] = [
    Cluster(),
    Cluster(type=ClusterDiscoveryType.EDS, connect_timeout=timedelta(0)),
    Cluster(connect_timeout=timedelta(seconds=1, microseconds=1)),
    RetryPolicy(retriable_status_codes=[0, 1, 503, 2**32 - 1], num_retries=0),
    RouteAction(timeout=timedelta(seconds=-1), cluster=""),
    protobuf.DoubleValue(value=-0.5),
    protobuf.Int64Value(value=-(2**63)),
    protobuf.BytesValue(value=b"\0\xff"),
    Node(id="ä", metadata=struct({"a": [1.5, None, True, {"b": ""}]})),
    Metadata(filter_metadata={"x": struct({}), "": struct({"y": "z"})}),
    DiscoveryResponse(resources=[pack(Cluster()), pack(Cluster(name="b"))]),
]


@pytest.mark.parametrize("message", ODD, ids=lambda each: type(each).__name__)
def test_odd_values(message: Message) -> None:
    assert encode(message) == bytes(message)


def test_what_a_newer_peer_sent_is_kept() -> None:
    unknown = Cluster.parse(bytes(Cluster(name="a")) + b"\xfa\xff\x01\x01b")
    assert encode(unknown) == bytes(unknown)


@given(st.integers(-(2**63), 2**64 - 1))
def test_numbers(value: int) -> None:
    from betterproto2 import encode_varint

    assert varint(value) == encode_varint(value)


def values() -> st.SearchStrategy[Any]:
    """JSON values."""
    leaves = st.none() | st.booleans() | st.floats(allow_nan=False) | st.text()
    return st.recursive(
        leaves, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=8
    )


@given(st.dictionaries(st.text(), values()))
def test_nested_messages(data: dict[str, Any]) -> None:
    message = struct(data)
    assert encode(message) == bytes(message)


def test_the_server_writes_by_it() -> None:
    response = DiscoveryResponse(version_info="1", resources=[pack(Cluster(name="b"))])
    assert EncodingCodec().encode(response, DiscoveryResponse) == bytes(response)


def test_a_number_that_does_not_fit_is_refused() -> None:
    limits = CircuitBreakersThresholds(max_requests=7)
    assert encode(limits) == bytes(limits)
    limits.max_requests = 2**32
    with pytest.raises(ValueError, match="4294967296 is not between"):
        encode(limits)


def test_a_sealed_message_is_written_once() -> None:
    message = Cluster(name="a")
    wire = encode(sealed(message))
    assert encode(message) is encode(message)
    other = copy(message)
    other.name = "b"
    assert encode(other) != wire
