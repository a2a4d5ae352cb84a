"""A mesh as the control plane's feed describes it, and records of it, without any process."""

from typing import Any

from mesh.accesslog import AccessLogRecord

NAMESPACE = "tutorial"


def node_id(pod: str) -> str:
    return f"sidecar~127.0.0.1~{pod}.{NAMESPACE}~{NAMESPACE}.svc.cluster.local"


def feed(pods: dict[str, tuple[str, str, int]], logs: str = "") -> dict[str, Any]:
    """``pods``: name -> (service, version, port); a gateway ``gw-a-b`` is always there."""
    services = sorted({service for service, _, _ in pods.values()})
    nodes, listed = [], []
    for name, (service, version, port) in pods.items():
        labels = {"app": service, "version": version}
        common = {"namespace": NAMESPACE, "labels": labels, "service_account": service}
        nodes.append(
            {
                "pod": name,
                "type": "sidecar",
                "services": [f"{service}.{NAMESPACE}.svc.cluster.local"],
                "admin_port": 1,
                "access_log": f"{logs}/{name}.jsonl" if logs else "",
                **common,
            }
        )
        listed.append(
            {
                "name": name,
                "service": service,
                "workload": f"{service}-{version}",
                "address": "127.0.0.1",
                "ports": {"8080": port},
                **common,
            }
        )
    gateway = {"namespace": NAMESPACE, "labels": {"app": "gw"}, "service_account": "gw"}
    nodes.append({"pod": "gw-a-b", "type": "router", "admin_port": 1, **gateway})
    return {
        "version": 1,
        "nodes": nodes,
        "pods": listed,
        "services": [{"name": name, "namespace": NAMESPACE} for name in services],
        "resources": [],
    }


PODS = {
    "a-0": ("a", "v1", 1001),
    "b-1": ("b", "v1", 1002),
    "b-2": ("b", "v2", 1003),
}
HOST = "b.tutorial.svc.cluster.local"


def outbound(pod: str = "a-0", to: str = "127.0.0.1:1002", **more: Any) -> AccessLogRecord:
    fields: dict[str, Any] = {
        "direction": "outbound",
        "method": "GET",
        "authority": "b:8080",
        "upstream_cluster": f"outbound|8080||{HOST}",
        "upstream_host": to,
        "response_code": 200,
        "duration": 5,
        "start_time": "2026-01-01T00:00:00.000000Z",
        **more,
    }
    return AccessLogRecord(pod=pod, **fields)


def inbound(pod: str = "b-1", peer: str = "a-0", **more: Any) -> AccessLogRecord:
    fields: dict[str, Any] = {
        "direction": "inbound",
        "method": "GET",
        "authority": "b:8080",
        "upstream_cluster": "inbound|8080||",
        "downstream_peer": node_id(peer) if peer else "",
        "response_code": 200,
        "duration": 4,
        "start_time": "2026-01-01T00:00:00.001000Z",
        **more,
    }
    return AccessLogRecord(pod=pod, **fields)
