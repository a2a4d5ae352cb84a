"""Mixer's check on a real mesh of both engines: what a student of 2018 applied still holds."""

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from mesh.envoy.supervisor import EnvoyMissingError, find_binary
from mesh.mixer.adapters import FOLDER_VARIABLE
from mesh.testbed.load_topology import load_topology
from mesh.testbed.local import LocalTestbed
from tests.mesh.mixer.test_policy import DENY, LIST, QUOTA

TOPOLOGY = {"services": {"customer": {"app": "scripted"}, "preference": {"app": "scripted"}}}
URL = "http://preference:8080/a?b=c"


@pytest.fixture(scope="module", params=["mitmproxy", "envoy"])
def bed(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[LocalTestbed]:
    if request.param == "envoy":
        try:
            find_binary()
        except EnvoyMissingError as missing:
            pytest.skip(str(missing))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MESH_LAB_HOME", str(tmp_path_factory.mktemp("h") / "m"))
        patch.setenv(FOLDER_VARIABLE, str(tmp_path_factory.mktemp("adapters")))
        topology = load_topology(TOPOLOGY)
        with LocalTestbed(topology, engine=request.param, era="istio-1.0") as made:
            yield made


def ask(bed: LocalTestbed, **headers: str) -> tuple[int, str, str]:
    answer = bed.request(URL, from_pod="customer", headers=headers)
    record = next(r for r in reversed(bed.access_log("preference")) if r.direction == "inbound")
    return answer.status, answer.text, f"{record.response_flags} {record.response_code_details}"


def apply(bed: LocalTestbed, text: str) -> None:
    bed.apply([("rules.yaml", text)])


def rules_away(bed: LocalTestbed) -> None:
    rows = bed.pilot.resources()
    bed.delete(
        [
            (row["kind"], row["namespace"], row["name"])
            for row in rows
            if row["apiVersion"].startswith("config.istio.io")
        ]
    )


def test_denier_and_lists(bed: LocalTestbed) -> None:
    assert ask(bed)[0] == 200
    apply(bed, DENY)
    denied = "PERMISSION_DENIED:denycustomerhandler.denier.tutorial:Not allowed"
    assert ask(bed) == (403, denied, "UAEX ext_authz_denied")
    assert (
        ask(bed, **{"x-envoy-peer-metadata-id": "forged", "x-mixer-principal": "forged"})[0] == 403
    )
    rules_away(bed)
    status, text, _ = ask(bed)
    assert status == 200
    assert "x-mixer" not in text
    apply(bed, LIST)
    unlisted = "NOT_FOUND:preferencewhitelist.listchecker.tutorial:customer is not whitelisted"
    assert ask(bed) == (404, unlisted, "UAEX ext_authz_denied")
    rules_away(bed)


def test_a_quota_of_three_requests(bed: LocalTestbed) -> None:
    apply(bed, DENY)  # the filter is there before the quota counts
    apply(bed, QUOTA.replace("10s", "1h").replace("5s", "1h"))
    bed.delete([("rule", "tutorial", "denycustomer")])
    journal = len(bed.journal("preference"))
    found = [ask(bed) for _ in range(3)]
    assert [status for status, _, _ in found] == [200, 429, 429]
    assert found[1][1] == "RESOURCE_EXHAUSTED:Quota is exhausted for: requestcount"
    assert len(bed.journal("preference")) - journal == 1
    rules_away(bed)
    assert ask(bed)[0] == 200


TICKET = """\
from mesh.mixer.adapters import Verdict


class Adapter:
    def __init__(self, params, clock):
        self.wanted = params["ticket"]

    def check(self, instance, values):
        if values["ticket"] == "boom":
            raise RuntimeError("the adapter is broken")
        return Verdict() if values["ticket"] == self.wanted else Verdict(16, "NO_TICKET")

    def report(self, instance, values, sink):
        sink.write(f"seen {values['ticket']}")
"""
OWN = """\
apiVersion: config.istio.io/v1alpha2
kind: handler
metadata: {name: door}
spec: {compiledAdapter: ticket, params: {ticket: gold}}
---
apiVersion: config.istio.io/v1alpha2
kind: instance
metadata: {name: shown}
spec: {compiledTemplate: authorization, params: {ticket: 'request.headers["user-agent"] | "none"'}}
---
apiVersion: config.istio.io/v1alpha2
kind: rule
metadata: {name: door}
spec:
  match: destination.labels["app"] == "preference" && context.reporter.kind == "inbound"
  actions: [{handler: door, instances: [shown]}]
"""
REPORT = """\
apiVersion: config.istio.io/v1alpha2
kind: metric
metadata: {name: visits}
spec:
  value: "2"
  dimensions: {source: source.workload.name | "unknown", agent: 'request.headers["user-agent"] | "none"'}
---
apiVersion: config.istio.io/v1alpha2
kind: prometheus
metadata: {name: visits}
spec:
  metrics:
    - {name: visits, instance_name: visits.metric.tutorial, kind: COUNTER, label_names: [source, agent]}
---
apiVersion: config.istio.io/v1alpha2
kind: logentry
metadata: {name: line}
spec: {severity: '"warning"', variables: {code: response.code | 0, path: request.path}}
---
apiVersion: config.istio.io/v1alpha2
kind: stdio
metadata: {name: log}
spec: {severity_levels: {warning: WARNING}}
---
apiVersion: config.istio.io/v1alpha2
kind: rule
metadata: {name: report}
spec:
  match: destination.service == "preference.tutorial.svc.cluster.local" && context.reporter.kind == "inbound"
  actions:
    - {handler: visits.prometheus, instances: [visits.metric]}
    - {handler: log.stdio, instances: [line.logentry]}
"""


def test_custom_metrics_and_log_entries(bed: LocalTestbed) -> None:
    apply(bed, REPORT)
    for _ in range(3):
        assert ask(bed, **{"user-agent": "safari"})[0] == 200
    mixer = bed.telemetry()
    assert 'istio_visits{agent="safari",source="customer-v1"} 6.0' in mixer.metrics()
    entry = json.loads(mixer.entries()[-1])
    assert (entry["level"], entry["code"], entry["path"]) == ("WARNING", 200, "/a?b=c")
    assert entry["instance"] == "line.logentry.tutorial"
    rules_away(bed)


def test_an_adapter_of_ones_own(bed: LocalTestbed) -> None:
    """It comes from a folder of the student's, by its name, and anew when the file has changed."""
    file = Path(os.environ[FOLDER_VARIABLE]) / "ticket.py"
    file.write_text(TICKET, encoding="utf-8")
    apply(bed, OWN)
    assert ask(bed, **{"user-agent": "gold"})[0] == 200
    refused = ask(bed, **{"user-agent": "brass"})
    assert refused[:2] == (401, "UNAUTHENTICATED:door.ticket.tutorial:NO_TICKET")
    # Envoy takes an answer of 500 as a failure of the check server.
    assert ask(bed, **{"user-agent": "boom"})[0] == 503
    seen = [each for each in bed.telemetry().entries() if each.startswith("seen ")]
    assert seen[-3:] == ["seen gold", "seen brass", "seen boom"]
    file.write_text(TICKET.replace("NO_TICKET", "A_GOLDEN_TICKET_IS_NEEDED"), encoding="utf-8")
    apply(bed, OWN)
    assert ask(bed, **{"user-agent": "brass"})[1].endswith("A_GOLDEN_TICKET_IS_NEEDED")
    rules_away(bed)


def test_a_rule_that_does_not_parse_is_refused_with_its_place(bed: LocalTestbed) -> None:
    result = bed.pilot.apply([("bad.yaml", DENY.replace("==", "="))], "istio-1.0")
    (problem,) = [each for each in result.problems if str(each.level) == "error"]
    assert "'=' cannot stand here (character" in str(problem)
    assert str(problem).startswith("bad.yaml:15:")


def test_without_mixer_requests_are_refused(bed: LocalTestbed) -> None:
    apply(bed, DENY)
    children = bed._running().zygote.ask("children")["children"]
    (pid,) = [int(pid) for pid, name in children.items() if name == "mixer"]
    os.kill(pid, signal.SIGSTOP)
    bed._running().zygote.ask("kill", pid=pid)
    assert ask(bed) == (503, "", "UAEX ext_authz_error")
