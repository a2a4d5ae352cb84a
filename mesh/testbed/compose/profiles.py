"""Profiles: what can stand beside a mesh in containers and is started only when it is asked for.

``observability``: Prometheus, which finds the pods by itself, Grafana with the dashboards of
``compose/observability``, and Jaeger, to which Mixer passes the spans of the sidecars on.
``locust``: Locust's page with a master and two workers, whose visitors come through the gateway.
``meshctl up --runtime compose --profile observability`` starts a mesh with them and prints their
addresses; ``docker compose -f RUN/compose.yaml --profile locust up -d`` adds one later.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from mesh.testbed.client import TestbedError

Spec = dict[str, Any]
Harden = Callable[..., Spec]
"""``Project.hardened``: command, user, memory -> a container with limits and without rights."""
OBSERVABILITY, LOCUST = "observability", "locust"
PROFILES = (OBSERVABILITY, LOCUST)
IMAGES = {
    "prometheus": "prom/prometheus:v3.7.2",
    "grafana": "grafana/grafana:12.1.1",
    "jaeger": "jaegertracing/all-in-one:1.69.0",
}
PORTS = {"prometheus": 9090, "grafana": 3000, "jaeger": 16686, "locust": 8089}
"""Compose service -> the port of its page, which a port of 127.0.0.1 leads to."""
PAGES = {OBSERVABILITY: ("prometheus", "grafana", "jaeger"), LOCUST: ("locust",)}
ZIPKIN = "http://jaeger:9411/api/v2/spans"
"""Where Mixer passes spans on to."""
CONFIG = Path(__file__).resolve().parents[3] / "compose" / "observability"
WORKERS = 2
_GRAFANA = {
    "GF_AUTH_ANONYMOUS_ENABLED": "true",
    "GF_AUTH_ANONYMOUS_ORG_ROLE": "Viewer",
    "GF_ANALYTICS_REPORTING_ENABLED": "false",
    "GF_ANALYTICS_CHECK_FOR_UPDATES": "false",
    "GF_PLUGINS_PREINSTALL_DISABLED": "true",
    "GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH": "/var/lib/mesh-lab/dashboards/mesh.json",
}


def check(names: Sequence[str]) -> tuple[str, ...]:
    """Return the profiles; TestbedError for one that there is not."""
    for name in names:
        if name not in PROFILES:
            raise TestbedError(f"there is no profile {name!r}: {' or '.join(PROFILES)}")
    return tuple(dict.fromkeys(names))


def observability(harden: Harden) -> dict[str, Spec]:
    """Return Prometheus, Grafana and Jaeger, on Mixer's network and not on the pods'."""
    prometheus = harden(
        ["--config.file=/etc/mesh-lab/prometheus.yml", "--storage.tsdb.path=/prometheus"],
        user=65534,
        memory="512m",
    )
    prometheus["volumes"] = [_mount(CONFIG, "/etc/mesh-lab")]
    prometheus["tmpfs"].append("/prometheus:size=256m,uid=65534,gid=65534")
    grafana = harden([], user=472, memory="512m")
    grafana["volumes"] = [
        _mount(CONFIG / "grafana" / "provisioning", "/etc/grafana/provisioning"),
        _mount(CONFIG / "grafana" / "dashboards", "/var/lib/mesh-lab/dashboards"),
    ]
    grafana["tmpfs"].append("/var/lib/grafana:size=128m,uid=472,gid=472")
    grafana["environment"] = dict(_GRAFANA)
    jaeger = harden(["--memory.max-traces=10000"], user=10001, memory="512m")
    jaeger["environment"] = {"COLLECTOR_ZIPKIN_HOST_PORT": ":9411"}
    made = {"prometheus": prometheus, "grafana": grafana, "jaeger": jaeger}
    for name, spec in made.items():
        spec |= {"image": IMAGES[name], "pull_policy": "missing", "profiles": [OBSERVABILITY]}
        spec |= {"networks": {"control": {}}, "ports": [f"127.0.0.1::{PORTS[name]}"]}
        if not spec["command"]:
            del spec["command"]
    return made


def locust(harden: Harden, image: str, gateway: str) -> dict[str, Spec]:
    """Return Locust's master with its page, and its workers; ``gateway`` is the URL they visit."""
    common = ["python", "-m", "locust", "-f", "/kit/compose/visitors.py", "--host", gateway]
    master = harden([*common, "--master"], user=1000, memory="256m")
    master["ports"] = [f"127.0.0.1::{PORTS['locust']}"]
    made = {"locust": master}
    for number in range(1, WORKERS + 1):
        words = [*common, "--worker", "--master-host", "locust"]
        made[f"locust-worker-{number}"] = harden(words, user=1000, memory="256m")
    for spec in made.values():
        spec |= {"image": image, "profiles": [LOCUST], "networks": {"mesh": {}}}
        spec["ulimits"] |= {"nofile": 10000}  # what Locust asks for
    return made


def _mount(folder: Path, target: str) -> Spec:
    return {
        "type": "bind",
        "source": str(folder),
        "target": target,
        "read_only": True,
        "bind": {"create_host_path": False},
    }
