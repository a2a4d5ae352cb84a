"""Prometheus' configuration for a running mesh: it finds the pods by itself and scrapes each.

In a real mesh ``kubernetes_sd_configs`` and the annotations ``prometheus.io/scrape`` do it; here
Mixer's ``/targets`` lists the pods, those that come later too (``http_sd_configs``).
Written by ``meshctl metrics --prometheus FILE``.
Source: Prometheus, "Configuration" and "HTTP service discovery".
"""

from __future__ import annotations

CONFIG = """\
# For: prometheus --config.file=THIS_FILE
global:
  scrape_interval: {interval}
scrape_configs:
  - job_name: envoy-stats
    http_sd_configs:
      - url: {url}/targets
        refresh_interval: {interval}
    relabel_configs:
      - source_labels: [pod]
        target_label: instance
"""


def config(metrics_url: str, interval: str = "5s") -> str:
    """Return the YAML; ``metrics_url`` is what ``meshctl status`` names, interval Prometheus' form."""
    return CONFIG.format(url=metrics_url.removesuffix("/metrics"), interval=interval)
