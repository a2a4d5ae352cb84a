import pytest
from prometheus_client.parser import text_string_to_metric_families

from mesh.stats_tags import prometheus, split

HOST = "outbound|8080|v1|b.tutorial.svc.cluster.local"


@pytest.mark.parametrize(
    ("stat", "name", "labels"),
    [
        (f"cluster.{HOST}.upstream_rq_total", "cluster.upstream_rq_total", {"cluster_name": HOST}),
        (
            f"cluster.{HOST}.upstream_rq_503",
            "cluster.upstream_rq",
            {"cluster_name": HOST, "response_code": "503"},
        ),
        (
            "cluster.inbound|8080||.upstream_rq_5xx",
            "cluster.upstream_rq",
            {"cluster_name": "inbound|8080||", "response_code_class": "5xx"},
        ),
        (
            "http.inbound_0.0.0.0_8080.fault.aborts_injected",
            "http.fault.aborts_injected",
            {"http_conn_manager_prefix": "inbound_0.0.0.0_8080"},
        ),
        ("cluster_manager.warming_clusters", "cluster_manager.warming_clusters", {}),
    ],
)
def test_labels_leave_the_name(stat: str, name: str, labels: dict[str, str]) -> None:
    found, tags = split(stat)
    assert (found, dict(tags)) == (name, labels)


def test_prometheus_reads_it() -> None:
    text = prometheus({f"cluster.{HOST}.upstream_rq_200": 3, "cluster.a.upstream_rq_active": 1})
    families = {each.name: each for each in text_string_to_metric_families(text)}
    assert families["envoy_cluster_upstream_rq_active"].type == "gauge"
    (sample,) = families["envoy_cluster_upstream_rq"].samples
    assert (sample.labels["cluster_name"], sample.value) == (HOST, 3)
