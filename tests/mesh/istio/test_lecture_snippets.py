"""What the lecture's YAML gets when it is loaded and validated as printed, snippet by snippet."""

from pathlib import Path

import pytest

from mesh.istio import Level, era, load_paths, validate

SNIPPETS = Path(__file__).parents[3].parent / "shared" / "lecture" / "snippets"

#: Number of the snippet: (line, code, a part of the text) of each error; none: it is right.
ERRORS: dict[str, list[tuple[int, str, str]]] = {
    "01": [],
    "02": [(9, "KIT0001", "did not find expected '-' indicator")],
    "03": [(14, "IST0106", "destination.weight"), (18, "IST0106", "destination.weight")],
    "04": [(9, "KIT0001", "did not find expected '-' indicator")],
    "05": [
        (1, "KIT0004", "virtualService"),
        (1, "KIT0005", "apiVersion"),
        (3, "IST0106", "serviceB"),
    ],
    "06": [
        (1, "KIT0004", "virtualService"),
        (1, "KIT0005", "apiVersion"),
        (3, "IST0106", "serviceB"),
        (12, "IST0106", "destination.weight"),
        (16, "IST0106", "destination.weight"),
    ],
    "07": [(13, "KIT0001", "did not find expected '-' indicator")],
    "08": [],
    "09": [(14, "IST0106", "destination.timeout")],
    "10": [(9, "KIT0001", "did not find expected '-' indicator")],
    "11": [(1, "KIT0001", "mapping values are not allowed")],
    "12": [(1, "KIT0004", "kind: Required value")],
    "13": [],
    "14": [],
    "15": [(4, "KIT0001", "mapping values are not allowed")],
    "16": [(5, "KIT0001", "mapping values are not allowed")],
    "17": [
        (1, "KIT0004", "virtualService"),
        (1, "KIT0005", "apiVersion"),
        (3, "IST0106", "serviceB"),
    ],
    "19": [
        (1, "KIT0005", "apiVersion"),
        (3, "IST0106", "serviceB"),
        (11, "IST0106", "spec.retries"),
    ],
    "21": [
        (1, "KIT0004", "virtualService"),
        (1, "KIT0005", "apiVersion"),
        (3, "IST0106", "serviceB"),
    ],
    "22": [],
    "23": [(7, "IST0106", 'label "{tutorial}" invalid')],
    "24": [(14, "KIT0001", "did not find expected '-' indicator")],
    "25": [(1, "KIT0004", "is no object")],
    "26": [],
}


@pytest.mark.skipif(not SNIPPETS.is_dir(), reason="no lecture beside this checkout")
@pytest.mark.parametrize("number", ERRORS)
def test_each_snippet_as_printed(number: str) -> None:
    (file,) = SNIPPETS.glob(f"{number}-*.yaml")
    which = era("istio-1.0")
    loaded = load_paths([file], era=which)
    problems = [*loaded.problems, *validate(loaded.resources, which)]
    errors = [problem for problem in problems if problem.level is Level.ERROR]
    assert [(each.position.line, each.code) for each in errors] == [
        (line, code) for line, code, _ in ERRORS[number]
    ]
    for problem, (_, _, text) in zip(errors, ERRORS[number], strict=True):
        assert text in problem.message
        assert problem.hint or problem.code == "KIT0004" or text.startswith("label")


@pytest.mark.skipif(not SNIPPETS.is_dir(), reason="no lecture beside this checkout")
def test_no_snippet_is_forgotten() -> None:
    assert {file.name[:2] for file in SNIPPETS.glob("*.yaml")} == set(ERRORS)
