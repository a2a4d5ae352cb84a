"""A student's answers.yaml: read, refused in one sentence with its line, judged."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from grader.answers import Question, Questions, read_answers, template
from grader.checks import AnswerCheck, answer, judge_answers
from grader.evidence.record import Evidence
from grader.lab import find_lab
from grader.verdict import Outcome, Verdict, failed, passed

QUESTIONS = Questions(
    (Question("copies", "How many?", "number", (), 0, 200),),
    (Question("cause", "What is wrong?", "choice", ("empty-subset", "slow-pod")),),
)


def read(tmp_path: Path, text: str) -> tuple[dict[str, object], tuple[str, ...]]:
    path = tmp_path / "answers.yaml"
    path.write_text(text)
    found = read_answers(path, QUESTIONS, "answers.yaml")
    return dict(found.given), found.problems


def test_answers_are_read(tmp_path: Path) -> None:
    assert read(tmp_path, "copies: 40\ncause: slow-pod\n") == (
        {"copies": 40.0, "cause": "slow-pod"},
        (),
    )


def test_the_form_itself_is_readable_and_empty(tmp_path: Path) -> None:
    text = template(find_lab(1), QUESTIONS)
    assert "# 1. How many? (a number from 0 to 200)" in text
    assert "# --- The diagnosis" in text
    assert read(tmp_path, text) == ({}, ())


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("copies: many\n", "answers.yaml:1: 'many' is not an answer to copies: write a number"),
        ("copies: 201\n", "answers.yaml:1: 201 cannot be the answer to copies"),
        (
            "\ncause: slow\n",
            "answers.yaml:2: 'slow' is not an answer to cause: did you mean 'slow-pod'?",
        ),
        (
            "causes: slow-pod\n",
            "answers.yaml:1: no question is named 'causes': did you mean 'cause'?",
        ),
        ("x: 1\n", "answers.yaml:1: no question is named 'x': there are copies, cause."),
        ("copies: [1, 2]\n", "answers.yaml:1: copies takes one answer"),
        ("copies: 1\ncopies: 2\n", "answers.yaml:2: copies is answered twice"),
        ("copies: [\n", "answers.yaml:2: not YAML"),
        ("- copies\n", "answers.yaml:1: write `name: answer`, one a line."),
        ("? [a]\n: 1\n", "answers.yaml:1: no question is named 'this'"),
    ],
)
def test_bad_input_is_one_sentence_with_its_line(tmp_path: Path, text: str, says: str) -> None:
    _, problems = read(tmp_path, text)
    assert len(problems) == 1
    assert says in problems[0]


def test_one_mistake_does_not_cost_the_other_answers(tmp_path: Path) -> None:
    given, problems = read(tmp_path, "copies: many\ncause: slow-pod\n")
    assert given == {"cause": "slow-pod"}
    assert len(problems) == 1


def test_a_missing_or_binary_file(tmp_path: Path) -> None:
    assert read_answers(tmp_path / "none.yaml", QUESTIONS).given == {}
    (tmp_path / "answers.yaml").write_bytes(b"\xff\xfe\x00")
    assert "not a text in UTF-8" in read_answers(tmp_path / "answers.yaml", QUESTIONS).problems[0]


@given(st.text(max_size=200))
def test_any_text_is_read_without_an_exception(tmp_path_factory, text: str) -> None:  # type: ignore[no-untyped-def]
    path = tmp_path_factory.getbasetemp() / "any.yaml"
    path.write_text(text, encoding="utf-8", errors="surrogatepass")
    for problem in read_answers(path, QUESTIONS, "a").problems:
        assert problem.startswith("a:")


@answer(points=2, needs=("seen",))
def copies(evidence: Evidence, given: float) -> Outcome:
    measured = evidence.notes["seen"]["copies"]
    if given == measured:
        return passed(f"It were {measured}.")
    return failed(f"It were {measured}.", help="Count again.")


def test_an_answer_is_judged_by_what_was_measured(tmp_path: Path) -> None:
    evidence = Evidence(notes={"seen": {"copies": 40}})
    path = tmp_path / "answers.yaml"
    for text, verdict, points in (("copies: 40", Verdict.PASS, 2), ("copies: 39", Verdict.FAIL, 0)):
        path.write_text(text)
        found = read_answers(path, QUESTIONS)
        (result,) = judge_answers((copies,), QUESTIONS.all, found, evidence)
        assert (result.verdict, result.points) == (verdict, points)
        assert "Your answer:" in result.description


def test_an_answer_that_is_not_given_reveals_nothing() -> None:
    evidence = Evidence(notes={"seen": {"copies": 40}})
    (result,) = judge_answers(
        (copies,), QUESTIONS.all, read_answers(Path("none"), QUESTIONS), evidence
    )
    assert result.verdict is Verdict.FAIL
    assert "40" not in result.rationale + result.help + result.evidence


def test_a_judge_that_stumbles_or_lacks_its_probe_is_ungradable(tmp_path: Path) -> None:
    path = tmp_path / "answers.yaml"
    path.write_text("copies: 40")
    found = read_answers(path, QUESTIONS)
    for notes in ({}, {"seen": {}}, {"seen": {"error": "the mesh is gone"}}):
        (result,) = judge_answers((copies,), QUESTIONS.all, found, Evidence(notes=notes))
        assert result.verdict is Verdict.UNGRADABLE
    assert isinstance(copies, AnswerCheck)
