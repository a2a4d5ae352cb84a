"""No text whatever ends in a traceback, and a second repair changes nothing."""

from __future__ import annotations

import random

from hypothesis import given, settings
from hypothesis import strategies as st

from mesh.istio import ERAS, load_text
from mesh.istio.analyze.files import check_text
from mesh.istio.fix import repair

SEEDS = (
    """\
# canary
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata:
  name: recommendation
  namespace: tutorial
spec:
  hosts:
    - recommendation
  http:
    - match:
        - headers:
            user-agent:
              regex: ".*Firefox.*"
      route:
        - destination:
            host: recommendation
            subset: v2
          weight: 100
      retries:
        attempts: 3
        perTryTimeout: 2s
      timeout: 10s
    - fault:
        delay:
          fixedDelay: 7s
          percent: 50
      route:
        - destination: {host: recommendation, subset: v1}
""",
    """\
kind: destinationRule
metadata:
  name: serviceB
spec:
  hosts:
  - serviceB
  trafficPolicy:
    outlierDetection:
      consecutiveErrors: 3
  subsets:
  - name: v1
    labels:
      version: v1
---
1 destination: a.b policy:
2 - tags:
3   version: v1
""",
)


def damaged(seed: str, number: int, times: int) -> str:
    """Cut, move, indent, double and swap lines."""
    rng = random.Random(number)
    lines = seed.split("\n")
    for _ in range(times):
        at, to = rng.randrange(len(lines)), rng.randrange(len(lines))
        kind = rng.randrange(7)
        if kind == 0 and len(lines) > 2:
            del lines[at]
        elif kind == 1:
            lines[at] = " " * rng.choice((1, 2, 4)) + lines[at]
        elif kind == 2:
            lines[at] = lines[at][rng.choice((1, 2, 4)) :]
        elif kind == 3:
            lines.insert(to, lines[at])
        elif kind == 4:
            lines[at], lines[to] = lines[to], lines[at]
        elif kind == 5:
            lines[at] = lines[at].swapcase()
        else:
            lines[at] = lines[at].replace("- ", "", 1)
    return "\n".join(lines)


@settings(max_examples=120)
@given(
    st.sampled_from(SEEDS),
    st.integers(0, 10**9),
    st.integers(0, 4),
    st.sampled_from(list(ERAS.values())),
)
def test_damaged_yaml(seed: str, number: int, times: int, era: object) -> None:
    text = damaged(seed, number, times)
    assert isinstance(era, type(next(iter(ERAS.values()))))
    once = repair(text, "f.yaml", era=era)
    twice = repair(once.text, "f.yaml", era=era)
    assert twice.text == once.text
    assert twice.changes == []
    check_text(text, "f.yaml", era=era)
    broken = [p for p in load_text(text, era=era).problems if p.code == "KIT0001"]
    still = [p for p in load_text(once.text, era=era).problems if p.code == "KIT0001"]
    assert broken or not still, "a readable text stays readable"


@settings(max_examples=200)
@given(
    st.text(
        alphabet=st.sampled_from("ab: -\n\t#{}[]&*!|>'\"\\%@`1\r\0é🙂\u00a0\u2028"), max_size=80
    )
)
def test_any_text(text: str) -> None:
    era = ERAS["istio-1.9"]
    once = repair(text, era=era)
    assert repair(once.text, era=era).text == once.text
