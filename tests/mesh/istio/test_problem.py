from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from mesh.istio.problem import Level, Position, Problem, has_errors, one_line


def problem(level: Level = Level.ERROR, message: str = "said", hint: str = "") -> Problem:
    return Problem("KIT0001", level, message, Position("a.yaml", 3, 5), hint=hint)


def test_a_problem_reads_place_first_and_then_what_to_do() -> None:
    assert str(problem(hint="do this")) == "a.yaml:3:5: error [KIT0001] said\n    do this"
    assert str(Position("a.yaml")) == "a.yaml"
    assert str(Position()) == "<input>"


def test_the_json_form_has_the_position_flat() -> None:
    data = problem().as_dict()
    assert list(data)[:6] == ["code", "level", "message", "file", "line", "column"]
    assert (data["level"], data["file"], data["line"], data["column"]) == ("error", "a.yaml", 3, 5)


def test_only_errors_refuse() -> None:
    assert has_errors([problem(Level.WARNING), problem()])
    assert not has_errors([problem(Level.WARNING), problem(Level.INFO)])


@given(st.text())
def test_a_word_of_the_user_never_breaks_the_line_or_reaches_the_terminal(text: str) -> None:
    shown = problem(message=f'version "{text}"', hint=text).message
    assert shown.isprintable()
    assert "\n" not in shown
    assert one_line(shown) == shown


def test_control_characters_are_shown() -> None:
    assert one_line("a\nb\x1b[31m é") == "a\\nb\\x1b[31m é"
