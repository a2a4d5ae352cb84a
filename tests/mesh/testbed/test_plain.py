from __future__ import annotations

import json
from pathlib import Path

import pytest

from mesh.pilot.node import ProxyNode
from mesh.testbed.load_topology import standard_topology
from mesh.testbed.plain import from_plain, to_plain
from mesh.testbed.pods import LocalPod, make_pod, pod_name
from mesh.topology import Topology


def test_a_topology_and_a_pod_survive_json() -> None:
    topology = standard_topology()
    assert from_plain(Topology, json.loads(json.dumps(to_plain(topology)))) == topology
    service = topology.services[2]
    pod = make_pod(service, service.workloads[1], "r", [1, 2, 3], Path("/run"), Path("/run/s/1"))
    assert from_plain(LocalPod, json.loads(json.dumps(to_plain(pod)))) == pod
    assert pod.ports == [1, 2, 3]


def test_an_unknown_key_is_an_error() -> None:
    with pytest.raises(TypeError, match="nodee"):
        from_plain(ProxyNode, {"nodee": 1})


def test_names_follow_from_the_seed() -> None:
    workload = standard_topology().services[2].workloads[0]
    name = pod_name(workload, 0, "a")
    assert name == pod_name(workload, 0, "a")
    assert name.rpartition("-")[0] == pod_name(workload, 1, "a").rpartition("-")[0]
    assert len({pod_name(workload, n, seed) for n in range(50) for seed in "ab"}) == 100
    assert len(name) == len("recommendation-v1-") + 10 + 1 + 5
