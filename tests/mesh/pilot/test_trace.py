from __future__ import annotations

from mesh.istio import load_text
from mesh.istio.eras import ISTIO_1_28
from mesh.pilot.status import Nack
from mesh.pilot.trace import trace

TEXT = """\
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: recommendation}
spec:
  hosts: [recommendation]
  http:
  - route:
    - destination: {host: recommendation, subset: version-v9}
"""


def test_the_quoted_word_gives_the_line() -> None:
    resources = load_text(TEXT, "vs.yaml", era=ISTIO_1_28, namespace="tutorial").resources
    found = trace(Nack("a.b", "RDS", "unknown cluster outbound|8080|version-v9|x"), resources)
    assert (found.resource, found.file, found.line) == (
        "VirtualService tutorial/recommendation",
        "vs.yaml",
        8,
    )


def test_the_only_candidate_is_it_and_others_are_not() -> None:
    resources = load_text(TEXT, "vs.yaml", era=ISTIO_1_28, namespace="tutorial").resources
    assert trace(Nack("a.b", "RDS", "?"), resources).resource == resources[0].full_name
    assert trace(Nack("a.b", "CDS", "?"), resources).resource == ""
