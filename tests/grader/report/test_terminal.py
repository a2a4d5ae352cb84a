import io

import pytest
from rich.console import Console

from grader.report.progress import Progress
from grader.report.terminal import print_result, print_split, split_bar
from grader.result import Result
from grader.verdict import CheckResult, Verdict


def console(width: int = 100, **more: object) -> Console:
    return Console(file=io.StringIO(), width=width, highlight=False, **more)  # type: ignore[arg-type]


def text(target: Console) -> str:
    assert isinstance(target.file, io.StringIO)
    return target.file.getvalue()


CHECKS = (
    CheckResult("a", "Both versions answer.", Verdict.PASS, 2, 2, "They do.", "", "v1 9, v2 1"),
    CheckResult("b", "The share is right.", Verdict.FAIL, 0, 4, "v2 got 20 %.", "Weights?", "50"),
    CheckResult("c", "None fails.", Verdict.UNGRADABLE, 0, 2, "It broke.", "Run it again.", ""),
)
RESULT = Result(1, 3.0, "mitmproxy", "local", "istio-1.9", "ab", CHECKS)

GOLDEN = """
✓ pass  Both versions answer. (2/2)
    They do.
    evidence: v1 9, v2 1
✗ fail  The share is right. (0/4)
    v2 got 20 %.
    evidence: 50
    hint: Weights?
• ungradable  None fails. (0/2)
    It broke.
    hint: Run it again.

Everything that was recorded: runs/lab-01/x

This run could not be judged in full; it is the kit's fault and costs no points.

score: 2/8
"""


def test_the_report_is_plain_without_a_terminal() -> None:
    out = console()
    print_result(out, RESULT, note="Everything that was recorded: runs/lab-01/x")
    assert text(out) == GOLDEN


def test_no_color(monkeypatch: pytest.MonkeyPatch) -> None:
    coloured = console(force_terminal=True)
    print_result(coloured, RESULT)
    assert "\x1b[" in text(coloured)
    monkeypatch.setenv("NO_COLOR", "1")
    plain = console(force_terminal=True, no_color=None)
    print_result(plain, RESULT)
    assert "\x1b[3" not in text(plain)


@pytest.mark.parametrize("width", [20, 30, 40, 100])
def test_no_line_is_wider_than_the_terminal_and_the_score_is_last(width: int) -> None:
    out = console(width)
    print_split(out, "Who answered", {"v1": 902, "v2": 98})
    print_result(out, RESULT)
    lines = text(out).splitlines()
    assert max(map(len, lines)) <= width
    assert lines[-1] == "score: 2/8"
    joined = " ".join(lines)
    assert "90.2 %" in joined
    assert "9.8 %" in joined


@pytest.mark.parametrize(
    ("counts", "line"),
    [
        ({"v1": 902, "v2": 98}, "v1 ██████████████████░░ 90.2 %   v2 ██░░░░░░░░░░░░░░░░░░ 9.8 %"),
        ({"v1": 999, "v2": 1}, "v1 ███████████████████░ 99.9 %   v2 █░░░░░░░░░░░░░░░░░░░ 0.1 %"),
        ({"v1": 175}, "v1 ████████████████████ 100.0 %"),
    ],
)
def test_split_bar(counts: dict[str, int], line: str) -> None:
    assert split_bar(counts).plain == line


def test_a_split_of_nothing() -> None:
    out = console()
    print_split(out, "Who answered", {})
    assert "no request was answered" in text(out)


def test_progress_has_no_control_characters_off_a_terminal() -> None:
    out = console()
    with Progress(out).step("Starting [the] mesh"):
        pass
    with pytest.raises(ValueError, match="x"), Progress(out).step("Breaking"):
        raise ValueError("x")
    first, second = text(out).splitlines()
    assert first.startswith(" ✓ Starting [the] mesh (")
    assert second.startswith(" ✗ Breaking (")
    assert "\r" not in text(out)
