"""How the answers of lab 12 are judged: each by what the run measured."""

from __future__ import annotations

from grader.checks import answer
from grader.evidence.answered import diagnosed, diagnosed_flag, same
from grader.evidence.record import Evidence
from grader.verdict import Outcome, ungradable

FLAGS = ("FI", "NC", "NR", "UH", "UT")


@answer(points=1, needs=("predicted",))
def traces_now(evidence: Evidence, given: float) -> Outcome:
    """Trace ids of the visits when preference passes nothing on."""
    count = evidence.notes["predicted"]["traces"]
    return same(given, float(count), f"{evidence.parameters['visits']} visits made {count} traces.")


@answer(points=1, needs=("predicted",))
def seen_by_callers(evidence: Evidence, given: float) -> Outcome:
    """A caller's sidecar counts requests, however often it tries."""
    count = evidence.notes["predicted"]["source"]
    return same(given, float(count), f"the callers' sidecars counted {count} requests.")


@answer(points=1, needs=("predicted",))
def seen_by_servers(evidence: Evidence, given: float) -> Outcome:
    """A server's sidecar counts what arrives: every try."""
    count = evidence.notes["predicted"]["destination"]
    return same(given, float(count), f"the servers' sidecars counted {count} requests.")


@answer(points=1, needs=("predicted",))
def missing_edge(evidence: Evidence, given: str) -> Outcome:
    """The graph is made of metrics, not of traces."""
    there = {tuple(edge) for edge in evidence.notes["predicted"]["edges"]}
    if ("customer", "preference") not in there:
        return ungradable("the graph has no edge from customer to preference")
    truth = "none" if ("preference", "recommendation") in there else "preference-to-recommendation"
    return same(given, truth, f"edges: {', '.join(' -> '.join(each) for each in sorted(there))}.")


@answer(points=1, needs=("diagnosis",))
def flag(evidence: Evidence, given: str) -> Outcome:
    """The flag in the broken mesh's logs."""
    return diagnosed_flag(evidence, given, FLAGS)


@answer(points=2, needs=("diagnosis",))
def cause(evidence: Evidence, given: str) -> Outcome:
    """Which of the broken meshes it was."""
    return diagnosed(evidence, given)
