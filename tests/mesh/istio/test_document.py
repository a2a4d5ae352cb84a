"""YAML text -> trees: positions, several documents, limits, and what broken text gets."""

import pytest

from mesh.istio.document import MAX_BYTES, decode, parse
from mesh.istio.problem import Problem


def only_problem(text: str) -> Problem:
    documents, problems = parse(text, "f.yaml")
    found = [*problems, *(problem for each in documents for problem in each.problems)]
    assert len(found) == 1, found
    return found[0]


def test_documents_are_split_and_counted() -> None:
    text = "# comment\n---\na: 1\n---\n# nothing\n---\nb: 2\n...\n%YAML 1.1\n---\nc: |\n  --- x\n"
    documents, problems = parse(text, "f.yaml")
    assert problems == []
    assert [document.index for document in documents] == [0, 1, 2]
    assert [document.root.plain() for document in documents if document.root] == [
        {"a": 1},
        {"b": 2},
        {"c": "--- x\n"},
    ]
    assert documents[2].root is not None
    assert documents[2].root.entries["c"].line == 11


def test_a_broken_document_does_not_hide_the_others() -> None:
    documents, _ = parse("a: [1\n---\nb: 2\n---\nc: }\n---\nd: 4\n", "f.yaml")
    assert [len(document.problems) for document in documents] == [1, 0, 1, 0]
    assert documents[2].problems[0].position.line == 5
    assert documents[3].root is not None
    assert documents[3].root.plain() == {"d": 4}


def test_keys_stay_words() -> None:
    documents, _ = parse("on: 1\nyes: 2\n1: 3\n", "f.yaml")
    assert documents[0].root is not None
    assert documents[0].root.plain() == {"on": 1, "yes": 2, "1": 3}


def test_windows_lines_and_a_byte_order_mark() -> None:
    documents, _ = parse("\ufeffa: 1\r\nb:\r\n  c: 2\r\n", "f.yaml")
    root = documents[0].root
    assert root is not None
    assert root.entries["b"].node.entries["c"].line == 3


def test_aliases_and_merge_keys() -> None:
    text = "base: &b {x: 1, y: 2}\none:\n  <<: *b\n  y: 3\nlist: [*b, *b]\n"
    documents, _ = parse(text, "f.yaml")
    assert documents[0].root is not None
    assert documents[0].root.plain() == {
        "base": {"x": 1, "y": 2},
        "one": {"x": 1, "y": 3},
        "list": [{"x": 1, "y": 2}, {"x": 1, "y": 2}],
    }


@pytest.mark.parametrize(
    ("text", "code", "line", "said"),
    [
        ("a: 1\nb:\n\tc: 2\n", "KIT0001", 3, "cannot start any token"),
        ("a: 1\nb: \0\n", "KIT0003", 2, "NUL"),
        ("a: 1\nb: \ud800\n", "KIT0003", 2, "U+D800"),
        ("a: 1\nb: 2\na: 3\n", "KIT0001", 3, 'key "a" already set in map'),
        ("a: *nobody\n", "KIT0001", 1, "*nobody"),
        ("a: &x [*x]\n", "KIT0001", 1, "*x"),
        ("a: 1\n{b: 1}: 2\n", "KIT0001", 2, "key must be one word"),
        ("a: !!python/name:os.system x\n", "KIT0001", 1, "not allowed"),
        ("a: 1\nb: 1e999\n", "KIT0001", 2, "too large"),
        ("a: 1\nb: " + "[" * 100 + "]" * 100, "KIT0002", 2, "deeper than 64"),
        ("<<: 3\n", "KIT0001", 1, "merges maps"),
        ("hosts:\n  - a\n  http:\n", "KIT0001", 3, "expected '-' indicator"),
    ],
)
def test_what_cannot_be_read_is_said_with_its_line(
    text: str, code: str, line: int, said: str
) -> None:
    problem = only_problem(text)
    assert (problem.code, problem.position.line) == (code, line)
    assert said in problem.message
    assert problem.position.file == "f.yaml"


def test_a_tab_and_a_wrong_indent_have_their_hints() -> None:
    assert "replace the tab" in only_problem("a:\n\tb: 1\n").hint
    assert "`http:` is indented" in only_problem("hosts:\n  - a\n  http:\n    - b\n").hint


def test_an_alias_bomb_is_stopped() -> None:
    lines = ["a0: &a0 [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 9)]
    problem = only_problem("\n".join(lines))
    assert problem.code == "KIT0002"
    assert problem.position.line == 5
    assert "once aliases are written out" in problem.message


def test_a_deep_alias_counts_with_its_depth() -> None:
    lines = ["a0: &a0 [1]"] + [f"a{n}: &a{n} [*a{n - 1}]" for n in range(1, 70)]
    problem = only_problem("\n".join(lines))
    assert "deeper" in problem.message


def test_size_has_a_limit_with_a_line() -> None:
    documents, problems = parse("a: 1\n" * 400_000, "f.yaml")
    assert documents == []
    assert problems[0].code == "KIT0002"
    assert problems[0].position.line == 1 + MAX_BYTES // 5


def test_bytes_that_are_no_utf8() -> None:
    text, problems = decode(b"a: 1\nb: caf\xe9\n", "f.yaml")
    assert text == ""
    assert (problems[0].code, problems[0].position.line, problems[0].position.column) == (
        "KIT0003",
        2,
        7,
    )
    assert "0xe9" in problems[0].message
