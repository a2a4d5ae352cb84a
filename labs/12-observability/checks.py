"""Lab 12's probes and checks: whether the headers tie a request's hops together.

recommendation (``services.scripted``) and preference write the headers of every request into their
journals, the sidecars send their spans to Mixer, and all that is counted exactly.  The trace ids
of two probes are the grader's own, so what arrives is found even where the request id is lost.
"""

from __future__ import annotations

import hashlib
import json
import time
import uuid
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from grader.checks import check, probe
from grader.collect import Lab
from grader.evidence.record import Evidence
from grader.evidence.traffic import refused, split, too_many_lost
from grader.load.observation import Observation
from grader.verdict import Outcome, failed, passed, ungradable

VISITS = 8
COUNT = 4
TRIES = 20
HOPS = ("istio-ingressgateway", "customer", "preference", "recommendation")
AGENT = "Lynx/2.8.9 (a browser for text)"
STRANGERS = ("cookie", "x-internal-note")
NOTHING = "def forwarded(headers):\n    return {}\n"
EVERYTHING_NEEDED = """\
def forwarded(headers):
    wanted = ("x-request-id", "x-b3-traceid", "x-b3-spanid", "x-b3-parentspanid", "x-b3-sampled")
    return {name: headers[name] for name in wanted if name in headers}
"""


def trace_id(nonce: str, probe: str) -> str:
    """The trace id under which a probe sends its requests: 32 hexadecimal digits."""
    return hashlib.sha256(f"{nonce} {probe}".encode()).hexdigest()[:32]


def open_page(lab: Lab, name: str, count: int) -> list[Observation]:
    """Open the page ``count`` times, with ids that sidecars take for their own.

    A trace is sampled by the request id, and a UUID's 13th digit says so (9: sampled); the driver's
    readable ids are none, so nothing would be traced.
    """
    seen = []
    for index in range(count):
        made = str(uuid.uuid4())
        request_id = f"{made[:14]}9{made[15:]}"
        start = time.time()
        answer = lab.testbed.request("/", headers={"x-request-id": request_id})
        seconds = time.time() - start
        seen.append(
            Observation(
                index, 0, request_id, answer.status, answer.text, {}, start, seconds, probe=name
            )
        )
    lab.record(seen)
    return seen


def traces_since(lab: Lab, since: float) -> list[dict[str, Any]]:
    """The traces that began after ``since`` (Unix time): whose spans they have, how many roots."""
    found = lab.testbed.telemetry(spans=True).traces(500)
    return [
        {
            "id": each.id,
            "pods": sorted(
                {hop for hop in HOPS for span in each.spans if span.pod.startswith(hop)}
            ),
            "spans": len(each.spans),
            "roots": len(each.roots),
        }
        for each in found
        if each.start >= since * 1e6
    ]


@probe
def visits(lab: Lab) -> None:
    """Opening the page, and looking for traces."""
    lab.apply_student()
    since = time.time()
    lab.note("share", split=split(open_page(lab, "visits", VISITS)))
    lab.note("visits", traces=traces_since(lab, since))


@probe
def headers(lab: Lab) -> None:
    """Sending requests with headers of their own."""
    for name, sampled in (("headers", "1"), ("unsampled", "0")):
        own = {
            lab.parameters["header"]: f"of-{name}",
            lab.parameters["secret"]: "not for others",
            "baggage-user-agent": AGENT,
            "x-b3-traceid": trace_id(lab.nonce, name),
            "x-b3-spanid": trace_id(lab.nonce, name)[:16],
            "x-b3-sampled": sampled,
            **dict.fromkeys(STRANGERS, "a stranger"),
        }
        lab.count(name, COUNT, **lab.hop("customer", "preference:8080", own))
        lab.note("headers", **{name: trace_id(lab.nonce, name)})


@probe
def predicted(lab: Lab) -> None:
    """Measuring what was to be predicted."""
    lab.put_code({"propagation.py": NOTHING})
    before, since = edges(lab), time.time()
    open_page(lab, "predicted-visits", lab.parameters["visits"])
    traces = traces_since(lab, since)
    grown = {pair for pair, count in edges(lab).items() if count > before.get(pair, 0)}
    sums = {side: requests_total(lab, side) for side in ("source", "destination")}
    script = {"x-script": json.dumps([{"status": 503}, {}])}
    lab.count("predicted-tries", TRIES, **lab.hop("preference", "recommendation:8080", script))
    lab.note(
        "predicted",
        traces=len(traces),
        edges=sorted(grown),
        **{side: requests_total(lab, side) - count for side, count in sums.items()},
    )
    lab.put_code({"propagation.py": EVERYTHING_NEEDED})  # the diagnosis' logs are joined by id


def edges(lab: Lab) -> dict[tuple[str, str], int]:
    """The requests of each edge of the service graph so far, by (app, app)."""
    graph = lab.testbed.telemetry().graph()
    names = {node.id: node.app for node in graph.nodes}
    found: dict[tuple[str, str], int] = {}
    for edge in graph.edges:
        pair = names[edge.source], names[edge.destination]
        found[pair] = found.get(pair, 0) + edge.requests
    return found


def requests_total(lab: Lab, reporter: str) -> int:
    """``sum(istio_requests_total{reporter="...", destination_app="recommendation"})``."""
    text = lab.testbed.telemetry().metrics()
    return int(
        sum(
            sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
            if sample.name == "istio_requests_total"
            and sample.labels.get("reporter") == reporter
            and sample.labels.get("destination_app") == "recommendation"
        )
    )


def arrived(evidence: Evidence, probe: str) -> list[dict[str, str]]:
    """The headers of a probe's requests at recommendation, found by any of the three ids."""
    ids = {item.request_id for item in evidence.probe(probe)}
    own = evidence.notes["headers"].get(probe, "-")
    found = []
    for line in evidence.journal:
        if evidence.pods.get(str(line.get("pod")), {}).get("app") != "recommendation":
            continue
        seen = {str(name): str(value) for name, value in line.get("headers", {}).items()}
        marked = seen.get(evidence.parameters["header"]) == f"of-{probe}"
        if line.get("request_id") in ids or seen.get("x-b3-traceid") == own or marked:
            found.append(seen)
    return found


def broken(evidence: Evidence, seen: tuple[Observation, ...]) -> Outcome | None:
    """The outcome when requests failed: the code's own error stands in the answer."""
    if problem := too_many_lost(seen):
        return ungradable(problem)
    own = next((item.body.strip() for item in seen if "propagation.py" in item.body), "")
    if own or (problem := refused(evidence, seen)):
        return failed(
            f"{own or problem}.", help="Which header did your code expect, and was it there?"
        )
    return None


@check(points=3, needs=("visits",))
def one_visit_is_one_trace(evidence: Evidence) -> Outcome:
    """Each visit is one trace, with the spans of every sidecar on the way in it."""
    seen = evidence.probe("visits")
    if bad := broken(evidence, seen):
        return bad
    traces = evidence.notes["visits"]["traces"]
    whole = [each for each in traces if each["pods"] == sorted(HOPS) and each["roots"] == 1]
    line = f"{len(seen)} visits: {len(traces)} traces, {len(whole)} of them whole"
    if len(whole) == len(seen) == len(traces):
        return passed("Every visit is one whole trace.", evidence=line)
    if not traces:
        return ungradable("the sidecars sent no spans", evidence=line)
    parts = sorted({", ".join(each["pods"]) for each in traces if each not in whole})
    return failed(
        f"{len(seen)} visits made {len(traces)} traces, {len(whole)} of them whole.",
        help="Parts: " + "; ".join(parts) + ". Which headers join a span to its parent?",
        evidence=line,
    )


@check(points=2, needs=("visits",))
def one_id_finds_all_lines(evidence: Evidence) -> Outcome:
    """The id of a visit finds its lines in the access logs of all sidecars on the way."""
    seen = evidence.probe("visits")
    if bad := broken(evidence, seen):
        return bad
    found: dict[str, set[str]] = {item.request_id: set() for item in seen}
    for line in evidence.access_log:
        if line.get("request_id") in found:
            pod = str(line.get("pod"))
            found[line["request_id"]].update(hop for hop in HOPS if pod.startswith(hop))
    short = [hops for hops in found.values() if len(hops) < len(HOPS)]
    if not short:
        return passed(f"Each of {len(seen)} ids has lines at every hop.")
    lost = [hop for hop in HOPS if hop not in short[0]]
    return failed(
        f"{len(short)} of {len(seen)} ids have no line at {' and '.join(lost)}.",
        help="`meshctl logs --trace ID` shows them. Which header carries the id?",
    )


@check(points=2, needs=("headers",))
def the_companys_header_goes_along(evidence: Evidence) -> Outcome:
    """The company's header and baggage-user-agent reach recommendation unchanged."""
    seen = evidence.probe("headers")
    if bad := broken(evidence, seen):
        return bad
    name = evidence.parameters["header"]
    there = arrived(evidence, "headers")
    good = [
        each
        for each in there
        if each.get(name) == "of-headers" and each.get("baggage-user-agent") == AGENT
    ]
    line = f"{len(good)} of {len(seen)} requests arrived with both"
    if len(good) == len(seen):
        return passed(f"{name} and baggage-user-agent go along.", evidence=line)
    lost = [each for each in (name, "baggage-user-agent") if not any(each in one for one in there)]
    return failed(
        f"{' and '.join(lost) or 'A value'} did not reach recommendation as it came.",
        help="Names are in small letters in what your function gets.",
        evidence=line,
    )


@check(points=2, needs=("headers",))
def nothing_else_goes_along(evidence: Evidence) -> Outcome:
    """The secret of the task, and headers that nobody asked for, stay with preference."""
    seen = evidence.probe("headers")
    if bad := broken(evidence, seen):
        return bad
    there = arrived(evidence, "headers")
    if len(there) < len(seen):
        return failed(
            f"{len(seen) - len(there)} requests cannot be found at recommendation by any id.",
            help="Something has to tie them to the requests that came.",
        )
    names = (evidence.parameters["secret"], *STRANGERS)
    leaked = [name for name in names if any(name in each for each in there)]
    if not leaked:
        return passed("Nothing else reached recommendation.")
    return failed(
        f"{', '.join(leaked)} reached recommendation.",
        help="Write down what goes along, not what stays: nobody knows all that may come.",
    )


@check(points=1, needs=("headers",))
def sampling_is_passed_on(evidence: Evidence) -> Outcome:
    """A request that was not sampled where it began is not sampled further on."""
    seen = evidence.probe("unsampled")
    if bad := broken(evidence, seen):
        return bad
    own = evidence.notes["headers"]["unsampled"]
    there = arrived(evidence, "unsampled")
    good = [
        each
        for each in there
        if each.get("x-b3-sampled") == "0" and each.get("x-b3-traceid") == own
    ]
    line = f"{len(good)} of {len(seen)} arrived unsampled, in the trace they came with"
    if len(good) == len(seen):
        return passed("What was decided about sampling goes along.", evidence=line)
    said = sorted({each.get("x-b3-sampled", "nothing") for each in there}) or ["nothing"]
    if said == ["0"]:
        return failed(
            "recommendation got x-b3-sampled 0, but in another trace than the one that was decided on.",
            help="Read the check about traces first: which headers join a span to its parent?",
            evidence=line,
        )
    return failed(
        f"x-b3-sampled was 0, and recommendation got {' and '.join(said)}.",
        help="The first sidecar decides for the whole trace. Do not decide again.",
        evidence=line,
    )
