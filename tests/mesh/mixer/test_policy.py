from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from mesh.istio import era, load_text
from mesh.mixer import exposition
from mesh.mixer.adapters import AdapterError, load, seconds
from mesh.mixer.policy import Answer, Policy, PolicyError
from mesh.mixer.standard_metrics import Meter, merge

DENY = """\
apiVersion: config.istio.io/v1alpha2
kind: denier
metadata: {name: denycustomerhandler}
spec: {status: {code: 7, message: Not allowed}}
---
apiVersion: config.istio.io/v1alpha2
kind: checknothing
metadata: {name: denycustomerrequests}
spec:
---
apiVersion: config.istio.io/v1alpha2
kind: rule
metadata: {name: denycustomer}
spec:
  match: destination.labels["app"] == "preference" && source.labels["app"] == "customer"
  actions:
    - {handler: denycustomerhandler.denier, instances: [denycustomerrequests.checknothing]}
"""
LIST = """\
apiVersion: config.istio.io/v1alpha2
kind: listchecker
metadata: {name: preferencewhitelist}
spec: {overrides: [recommendation], blacklist: false}
---
apiVersion: config.istio.io/v1alpha2
kind: listentry
metadata: {name: preferencesource}
spec: {value: 'source.labels["app"]'}
---
apiVersion: config.istio.io/v1alpha2
kind: rule
metadata: {name: checkfromcustomer}
spec:
  match: destination.labels["app"] == "preference"
  actions:
    - {handler: preferencewhitelist.listchecker, instances: [preferencesource.listentry]}
"""
QUOTA = """\
apiVersion: config.istio.io/v1alpha2
kind: memquota
metadata: {name: handler}
spec:
  quotas:
    - name: requestcount.quota.tutorial
      maxAmount: 3
      validDuration: 10s
      overrides:
        - {dimensions: {source: customer}, maxAmount: 1, validDuration: 5s}
---
apiVersion: config.istio.io/v1alpha2
kind: quota
metadata: {name: requestcount}
spec:
  dimensions: {source: 'source.labels["app"] | "unknown"'}
---
apiVersion: config.istio.io/v1alpha2
kind: rule
metadata: {name: quota}
spec: {actions: [{handler: handler.memquota, instances: [requestcount.quota]}]}
---
apiVersion: config.istio.io/v1alpha2
kind: QuotaSpec
metadata: {name: request-count}
spec: {rules: [{quotas: [{charge: 1, quota: requestcount}]}]}
---
apiVersion: config.istio.io/v1alpha2
kind: QuotaSpecBinding
metadata: {name: request-count}
spec:
  quotaSpecs: [{name: request-count, namespace: tutorial}]
  services: [{name: preference, namespace: tutorial}]
"""


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def policy(text: str, clock: Clock | None = None, folder: str = "") -> Policy:
    loaded = load_text(text, "rules.yaml", era=era("istio-1.0"), namespace="tutorial")
    assert [str(each) for each in loaded.problems if str(each.level) == "error"] == []
    return Policy(loaded.resources, clock or Clock(), folder)


def asked(source: str = "customer", destination: str = "preference") -> dict[str, object]:
    return {
        "source.labels": {"app": source},
        "destination.labels": {"app": destination},
        "destination.namespace": "tutorial",
        "destination.service": f"{destination}.tutorial.svc.cluster.local",
    }


def test_denier() -> None:
    rules = policy(DENY)
    text = "PERMISSION_DENIED:denycustomerhandler.denier.tutorial:Not allowed"
    assert rules.check(asked()) == Answer(7, text)
    assert rules.check(asked("gateway")) == Answer()
    assert rules.check(asked(destination="recommendation")) == Answer()
    assert rules.check({**asked(), "destination.namespace": "other"}) == Answer()
    assert rules.check({}) == Answer()


def test_at_a_gateway_its_own_namespace_counts_and_no_quota() -> None:
    def outbound(namespace: str) -> dict[str, object]:
        more = {"context.reporter.kind": "outbound", "source.namespace": namespace}
        return {**asked(), **more}

    assert policy(DENY).check(outbound("tutorial")).code == 7
    assert policy(DENY).check(outbound("istio-system")) == Answer()
    quota = policy(QUOTA)
    assert [quota.check(outbound("tutorial")).code for _ in range(5)] == [0] * 5


def test_lists() -> None:
    rules = policy(LIST)
    text = "NOT_FOUND:preferencewhitelist.listchecker.tutorial:customer is not whitelisted"
    assert rules.check(asked()) == Answer(5, text)
    assert rules.check(asked("recommendation")) == Answer()
    black = policy(LIST.replace("blacklist: false", "blacklist: true"))
    assert black.check(asked()) == Answer()
    assert black.check(asked("recommendation")).text.endswith("recommendation is blacklisted")


def test_quota_with_an_override_and_windows() -> None:
    clock = Clock()
    rules = policy(QUOTA, clock)
    refused = Answer(8, "RESOURCE_EXHAUSTED:Quota is exhausted for: requestcount")
    assert [rules.check(asked()) for _ in range(2)] == [Answer(), refused]
    assert [rules.check(asked("gateway")) for _ in range(4)] == [Answer()] * 3 + [refused]
    assert rules.check(asked(destination="recommendation")) == Answer()  # not bound: not charged
    clock.now += 5
    assert [rules.check(asked()) for _ in range(2)] == [Answer(), refused]
    assert rules.check(asked("gateway")) == refused
    clock.now += 5
    assert rules.check(asked("gateway")) == Answer()


def test_the_newer_form_and_an_adapter_of_ones_own(tmp_path: Path) -> None:
    (tmp_path / "odd.py").write_text(
        "from mesh.mixer.adapters import Verdict\n"
        "class Adapter:\n"
        "    def __init__(self, params, clock):\n"
        "        self.calls = 0\n"
        "    def check(self, instance, values):\n"
        "        self.calls += 1\n"
        "        return Verdict(16, 'odd', 9.0) if self.calls % 2 else Verdict()\n",
        encoding="utf-8",
    )
    text = """\
apiVersion: config.istio.io/v1alpha2
kind: handler
metadata: {name: mine}
spec: {compiledAdapter: odd, params: {}}
---
apiVersion: config.istio.io/v1alpha2
kind: instance
metadata: {name: nothing}
spec: {compiledTemplate: checknothing, params: {}}
---
apiVersion: config.istio.io/v1alpha2
kind: rule
metadata: {name: r}
spec: {actions: [{handler: mine, instances: [nothing]}]}
"""
    clock = Clock()
    rules = policy(text, clock, str(tmp_path))
    assert rules.check(asked()) == Answer(16, "UNAUTHENTICATED:mine.odd.tutorial:odd")
    assert rules.check(asked()).code == 16  # kept for 9 s: the adapter is not asked
    clock.now += 9
    assert rules.check(asked()) == Answer()
    with pytest.raises(PolicyError, match="no adapter 'odd'"):
        policy(text)
    (tmp_path / "odd.py").write_text("1/0", encoding="utf-8")
    with pytest.raises(PolicyError, match="cannot be used"):
        policy(text, folder=str(tmp_path))


@pytest.mark.parametrize(
    ("entry_type", "entries", "value", "code"),
    [
        ("IP_ADDRESSES", ["10.0.0.0/8"], "10.1.2.3", 0),
        ("IP_ADDRESSES", ["10.0.0.0/8"], "11.1.2.3", 5),
        ("IP_ADDRESSES", ["10.0.0.0/8"], "none", 3),
        ("REGEX", ["^a.c$"], "abc", 0),
        ("CASE_INSENSITIVE_STRINGS", ["ABC"], "abc", 0),
        ("STRINGS", ["ABC"], "abc", 5),
    ],
)
def test_types_of_entries(entry_type: str, entries: list[str], value: str, code: int) -> None:
    made = load("listchecker", {"entryType": entry_type, "overrides": entries}, Clock())
    assert made.check("i", {"value": value}).code == code


def test_bad_parameters() -> None:
    with pytest.raises(AdapterError, match="no adapter"):
        load("nothing", {}, Clock())
    with pytest.raises(AdapterError, match="no name of an adapter"):
        load("../x", {}, Clock())
    with pytest.raises(AdapterError, match="listchecker"):
        load("listchecker", {"entryType": "IP_ADDRESSES", "overrides": ["x"]}, Clock())
    with pytest.raises(AdapterError, match="no duration"):
        seconds("5 apples")
    assert seconds("1h1m1.5s") == 3661.5


def test_a_prometheus_adapter_says_what_is_wrong() -> None:
    for metric, reason in (
        ({"name": "a b"}, "no name of a metric"),
        ({"name": "a", "kind": "SUM"}, "kind is one of"),
        ({"name": "a", "labelNames": ["x-y"]}, "no name of a label"),
        ({"name": "a", "buckets": {"linearBuckets": {}}}, "only explicitBuckets"),
        ({"name": "a", "buckets": {"explicitBuckets": {"bounds": [2, 1]}}}, "have to rise"),
    ):
        with pytest.raises(AdapterError, match=reason):
            load("prometheus", {"metrics": [metric]}, Clock())


def test_a_distribution_and_a_gauge() -> None:
    meter = Meter()

    class Taken:
        def add(self, name: str, labels: Mapping[str, str], *more: Any) -> None:
            meter.custom("p", name, tuple(labels.items()), *more)

        def write(self, line: str) -> None:
            raise AssertionError(line)

    bounds = {"explicitBuckets": {"bounds": [1, 2]}}
    metrics = [
        {"name": "size", "instanceName": "a", "kind": "DISTRIBUTION", "buckets": bounds},
        {"name": "last", "instanceName": "a", "kind": "GAUGE", "labelNames": ["x"]},
    ]
    made: Any = load("prometheus", {"metrics": metrics}, Clock())
    for value in (1, "1500ms", 7):
        made.report("a.metric.tutorial", {"value": value, "x": True}, Taken())
    text = exposition.text(merge([meter.pods["p"], meter.pods["p"]])).decode()
    for line in (
        'istio_size_bucket{le="1"} 2.0',
        'istio_size_bucket{le="2"} 4.0',
        'istio_size_bucket{le="+Inf"} 6.0',
        'istio_last{x="true"} 14.0',
    ):
        assert line in text.replace('"1.0"', '"1"').replace('"2.0"', '"2"')


def test_a_file_without_check_or_report(tmp_path: Path) -> None:
    (tmp_path / "idle.py").write_text(
        "class Adapter:\n    def __init__(self, params, clock): pass\n", encoding="utf-8"
    )
    with pytest.raises(AdapterError, match="neither check nor report"):
        load("idle", {}, Clock(), str(tmp_path))
    with pytest.raises(AdapterError, match="there are denier, idle, listchecker"):
        load("idler", {}, Clock(), str(tmp_path))
