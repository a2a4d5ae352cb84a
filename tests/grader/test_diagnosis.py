"""The diagnosis' files: what is shown, and what is sealed."""

from pathlib import Path

from grader.diagnosis import client_text, load_broken, log_text, metrics_text, seal
from grader.lab import find_lab
from grader.load.observation import Observation

BROKEN = """\
- name: empty-subset
  apply: |
    kind: DestinationRule
  tell: [[recommendation-v2, /misbehave]]
- name: slow
  apply: ""
  requests: 20
"""


def test_a_sealed_diagnosis_is_the_same(tmp_path: Path) -> None:
    from dataclasses import replace

    lab = replace(find_lab(1), folder=tmp_path)
    assert load_broken(lab) == ()
    (tmp_path / "diagnosis.yaml").write_text(BROKEN)
    plain = load_broken(lab)
    assert [item.name for item in plain] == ["empty-subset", "slow"]
    assert plain[0].tell == (("recommendation-v2", "/misbehave"),)
    assert plain[1].requests == 20
    (tmp_path / "diagnosis.yaml").unlink()
    (tmp_path / "diagnosis.sealed").write_bytes(seal(BROKEN))
    assert b"empty-subset" not in (tmp_path / "diagnosis.sealed").read_bytes()
    assert load_broken(lab) == plain


def test_what_the_client_saw() -> None:
    seen = [Observation(n, 0, f"d-{n}", 200, "fine", seconds=0.01) for n in range(3)]
    seen.append(Observation(3, 0, "d-3", 503, "customer => Error: 503", seconds=0.5))
    text = client_text(seen)
    assert "4 customers" in text
    assert "3 x 200   median 10 ms" in text
    assert "1 x 503   median 500 ms, longest 500 ms   e.g. customer => Error: 503" in text


def test_the_log_is_in_order_of_time() -> None:
    log = [
        {
            "start_time": "2026-01-01T10:00:02.000Z",
            "pod": "b",
            "response_code": 503,
            "response_flags": "UH",
        },
        {"start_time": "2026-01-01T10:00:01.000Z", "pod": "a", "response_code": 200},
    ]
    lines = log_text(log).splitlines()[2:]
    assert [line.split()[1] for line in lines] == ["a", "b"]
    assert "503 UH" in lines[1]


def test_metrics_name_their_pod() -> None:
    assert metrics_text({"a": {"cluster.x.upstream_rq_503": 2}}) == (
        "# a\ncluster.x.upstream_rq_503: 2\n"
    )
