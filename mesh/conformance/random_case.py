"""Random cases: configurations that nobody has thought of, run on both engines and compared.

Written cases say what must come; random ones only ask that the two engines agree.  The same seed
makes the same cases, so a difference can be run again: ``meshctl conform --random 100 --seed 7``
writes the case of each difference as a file.
"""

from __future__ import annotations

from collections.abc import Iterator
from random import Random
from typing import Any

from mesh.conformance.case import Case
from mesh.conformance.random_rules import Rules, gateway
from mesh.conformance.random_traffic import Traffic
from mesh.istio.eras import era
from mesh.istio.load import load_text
from mesh.istio.problem import has_errors
from mesh.istio.validate import validate
from mesh.istio.written import dump, dump_all

BARE = {"sidecar.istio.io/inject": "false"}
TOPOLOGY: dict[str, Any] = {
    "services": {
        "backend": {
            "ports": [8080],
            "workloads": [{"version": each, "labels": BARE} for each in ("v1", "v2")],
        },
        "many": {
            "workloads": [{"version": each, "labels": BARE} for each in ("v1", "v2", "v3", "v4")]
        },
        "inner": None,
        "refusing": {"labels": BARE, "options": {"refuse": True}},
        "absent": {"replicas": 0},
        "client": {"labels": {"tier": "front"}},
        "buyer": {"namespace": "sales", "labels": {"tier": "back"}},
    }
}
CALLERS = ("client", "client", "client", "buyer", "gateway")
REQUESTS = 12
LIMITED = 0.1
"""Share of the cases in which every rule has a timeout and some answers never come."""


def random_cases(count: int, seed: int, era_name: str = "istio-current") -> Iterator[Case]:
    """Make ``count`` cases, each of them valid."""
    for number in range(count):
        yield Case.model_validate(
            random_case(Random(f"{seed} {number}"), f"{seed}.{number}", era_name)
        )


def random_case(rng: Random, name: str, era_name: str) -> dict[str, Any]:
    """Make one case as plain data, as it stands in a file."""
    limited = rng.random() < LIMITED
    text = _resources(rng, era_name, limited=limited)
    gate = f"end of {name}".replace(" ", "-")
    traffic = Traffic(rng, gate if limited else "", mirrored="mirror" in text)
    steps: list[dict[str, Any]] = [traffic.step(CALLERS) for _ in range(REQUESTS)]
    return {
        "name": f"random {name}",
        "era": era_name,
        "topology": TOPOLOGY,
        "resources": text,
        "traffic": [*steps, {"release": gate}],
    }


def _resources(rng: Random, era_name: str, *, limited: bool) -> str:
    """Draw until Istio's rules of validation accept it; most draws are valid at once."""
    rules = Rules(rng, limited=limited)
    while True:
        drawn = [gateway(), rules.subsets(), rules.balancing(), rules.virtual_service()]
        text = dump_all(drawn)
        loaded = load_text(text, "random.yaml", era=era(era_name), namespace="tutorial")
        problems = [*loaded.problems, *validate(loaded.resources, era(era_name))]
        if not has_errors(problems):
            return text


def as_file(case: Case) -> str:
    """Return the text of a case file."""
    data = case.model_dump(mode="json", by_alias=True, exclude_defaults=True)
    return dump(data)
