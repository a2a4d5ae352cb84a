"""Stats tags: which parts of a statistic's name become labels in Prometheus' format.

Envoy's names have everything in them: ``cluster.outbound|8080||HOST.upstream_rq_503``.  Istio's
bootstrap tells Envoy by regular expressions what to take out: group 1 leaves the name, group 2
is the label's value.  Both engines use these, so the same PromQL works with either.
Source: istio/istio ``tools/packaging/common/envoy_bootstrap.json`` (stats_config).
"""

from __future__ import annotations

import re

STATS_TAGS: tuple[tuple[str, str], ...] = (
    ("cluster_name", r"^cluster\.((.+?(\..+?\.svc\.cluster\.local)?)\.)"),
    ("http_conn_manager_prefix", r"^http\.((.*?)\.)(?:fault\.|cors\.|tracing\.|rbac\.)?\w+$"),
    ("response_code", r"_rq(_(\d{3}))$"),
    ("response_code_class", r"_rq(_(\dxx))$"),
)
_COMPILED = [(name, re.compile(regex)) for name, regex in STATS_TAGS]


def split(stat: str) -> tuple[str, tuple[tuple[str, str], ...]]:
    """``cluster.C.upstream_rq_503`` -> ``cluster.upstream_rq`` and its labels."""
    labels, name = [], stat
    for tag, regex in _COMPILED:
        found = regex.search(name)
        if found is not None:
            labels.append((tag, found[2]))
            name = name[: found.start(1)] + name[found.end(1) :]
    return name, tuple(labels)


def prometheus(stats: dict[str, int]) -> str:
    """Return counters and gauges in Prometheus' text format, names ``envoy_...``."""
    families: dict[str, list[str]] = {}
    for stat, value in stats.items():
        name, labels = split(stat)
        family = "envoy_" + re.sub(r"[^a-zA-Z0-9_]", "_", name)
        text = ",".join(f'{key}="{_escape(each)}"' for key, each in labels)
        families.setdefault(family, []).append(f"{family}{{{text}}} {value}\n")
    return "".join(
        f"# TYPE {family} {_kind(family)}\n{''.join(lines)}"
        for family, lines in sorted(families.items())
    )


def _kind(family: str) -> str:
    gauge = family.endswith(("_active", "_warming", "_healthy", "_open", "ejections_active"))
    return "gauge" if gauge or "membership_" in family or "_manager_" in family else "counter"


def _escape(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
