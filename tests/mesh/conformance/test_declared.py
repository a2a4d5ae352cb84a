"""The page of declared differences."""

from pathlib import Path

from mesh.conformance.case import Case, read_cases
from mesh.conformance.declared import NONE, differences_page

ROOT = Path(__file__).parents[3]
CASES = ROOT / "tests" / "conformance" / "cases"


def case(**known: object) -> Case:
    step: dict[str, object] = {"to": "/"}
    if known:
        step["known_difference"] = known
    topology = {"services": {"backend": None}}
    return Case.model_validate({"name": "x", "topology": topology, "traffic": [step]})


def test_each_with_its_reason() -> None:
    one = case(engine="envoy", reason="It is\nso.", expect={"body": "b"}, fields=["answer.x"])
    page = differences_page([(Path("/c/a/b.yaml"), one), (Path("/c/d.yaml"), case())], Path("/c"))
    assert page.endswith("| a/b.yaml | 1 | envoy | body, answer.x | It is so. |\n")
    assert NONE in differences_page([(Path("d.yaml"), case())], Path("/c"))


def test_the_page_in_the_docs_is_what_the_command_prints() -> None:
    page = (ROOT / "docs" / "differences.md").read_text(encoding="utf-8")
    assert page == differences_page(read_cases([CASES]), CASES), (
        "write it anew: meshctl conform --differences > docs/differences.md"
    )
