import pytest

from mesh.accesslog import AccessLogRecord
from mesh.mixer.exchange import Parties, Resolver
from mesh.mixer.standard_metrics import LABELS, labels_of
from mesh.mixer.workloads import NOBODY, Workloads
from tests.mesh.mixer.traffic import HOST, PODS, feed, inbound, node_id, outbound


@pytest.fixture
def resolver(state: dict[str, object]) -> Resolver:
    workloads = Workloads()
    workloads.update(state)
    return Resolver(workloads)


def test_the_source_tells_whom_it_asked(resolver: Resolver) -> None:
    found = resolver.parties(outbound(to="127.0.0.1:1003"))
    assert (found.reporter, found.source.workload) == ("source", "a-v1")
    assert (found.destination.workload, found.destination.version) == ("b-v2", "v2")
    assert (found.service, found.service_name, found.service_namespace) == (HOST, "b", "tutorial")
    assert found.mtls is None


def test_the_destination_tells_who_asked(resolver: Resolver) -> None:
    found = resolver.parties(inbound())
    assert (found.reporter, found.source.workload) == ("destination", "a-v1")
    assert (found.destination.workload, found.mtls) == ("b-v1", False)


@pytest.mark.parametrize(
    ("peer", "account", "expected"),
    [
        (node_id("a-0"), "a", "a-v1"),
        ("", "a", "a-v1"),
        (node_id("b-1"), "a", "a-v1"),  # the certificate contradicts the header
        (node_id("b-1"), "b", "b-v1"),
        ("", "b", "unknown"),  # two workloads of one service account
        ("", "", "unknown"),
        ("garbage", "", "unknown"),
        (node_id("not-there"), "", "unknown"),
    ],
)
def test_a_certificate_goes_before_a_header(
    resolver: Resolver, peer: str, account: str, expected: str
) -> None:
    san = f"spiffe://cluster.local/ns/tutorial/sa/{account}" if account else ""
    record = inbound(peer="", downstream_peer_uri_san=san)
    found = resolver.parties(AccessLogRecord(**{**fields(record), "downstream_peer": peer}))
    assert found.source.workload == expected
    assert found.mtls is bool(account)


def fields(record: AccessLogRecord) -> dict[str, object]:
    return {name: getattr(record, name) for name in AccessLogRecord.__dataclass_fields__}


def test_a_copy_is_told_by_its_host(resolver: Resolver) -> None:
    assert resolver.parties(inbound(authority="b-shadow:8080")).mirrored
    assert not resolver.parties(inbound()).mirrored


@pytest.mark.parametrize(
    ("record", "service"),
    [
        (outbound(to="", upstream_cluster="", authority="b:8080"), HOST),
        (outbound(to="", upstream_cluster="", authority="nowhere.example"), "nowhere.example"),
        (outbound("gw-a-b", "", upstream_cluster="", authority="whatever"), "unknown"),
        (outbound(to="", upstream_cluster="PassthroughCluster"), "PassthroughCluster"),
    ],
)
def test_without_an_endpoint_there_is_still_a_service(
    resolver: Resolver, record: AccessLogRecord, service: str
) -> None:
    found = resolver.parties(record)
    assert (found.service, found.destination) == (service, NOBODY)


def test_a_pod_that_is_gone_stays_known(state: dict[str, object]) -> None:
    workloads = Workloads()
    workloads.update(state)
    workloads.update(feed({name: each for name, each in PODS.items() if name != "b-2"}))
    assert workloads.of_pod("b-2").workload == "b-v2"
    assert "b-2" not in workloads.running


def test_the_labels_are_istios(resolver: Resolver) -> None:
    record = inbound(downstream_peer_uri_san="spiffe://cluster.local/ns/tutorial/sa/a")
    labels = labels_of(record, resolver.parties(record))
    assert tuple(name for name, _ in labels) == LABELS
    found = dict(labels)
    assert found["connection_security_policy"] == "mutual_tls"
    assert found["source_principal"] == "spiffe://cluster.local/ns/tutorial/sa/a"
    assert found["destination_principal"] == "spiffe://cluster.local/ns/tutorial/sa/b"
    assert (found["response_code"], found["response_flags"]) == ("200", "-")
    plain = dict(labels_of(outbound(), resolver.parties(outbound())))
    assert plain["connection_security_policy"] == "unknown"
    assert plain["source_principal"] == "unknown"


def test_parties_of_a_host_outside() -> None:
    found = Parties("source", NOBODY, NOBODY, "api.example.com")
    assert (found.service_name, found.service_namespace) == ("api.example.com", "unknown")
