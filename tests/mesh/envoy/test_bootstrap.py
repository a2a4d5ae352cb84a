"""The bootstrap: an Envoy is back at its control plane before anybody who waits for it gives up."""

from mesh.envoy.bootstrap import ADS_CLUSTER, bootstrap
from mesh.testbed.deployment import PATIENCE


def seconds(said: str) -> float:
    assert said.endswith("s")
    return float(said[:-1])


def test_a_control_plane_that_was_away_is_found_again_while_somebody_waits() -> None:
    services = bootstrap({"id": "a"}, "/ads", 1)["dynamic_resources"]["ads_config"]["grpc_services"]
    [service] = [each["envoy_grpc"] for each in services]
    assert service["cluster_name"] == ADS_CLUSTER
    pause = service["retry_policy"]["retry_back_off"]
    # One try may just have failed, the next one connects, and a busy machine is ten times slower.
    assert 0 < seconds(pause["base_interval"]) < seconds(pause["max_interval"])
    assert 10 * 2 * seconds(pause["max_interval"]) < PATIENCE
