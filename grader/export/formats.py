"""One result in the words of other autograders; pure functions from ``result.json`` to text.

=============== =============================================================================
gradescope      ``results.json``: tests with output and visibility
prairielearn    ``results.json``: score 0..1; ``gradable: false`` where nothing could be judged, so
                that no attempt is lost
autolab         last line of standard output: ``{"scores": {...}}``
github          what ``autograding-grading-reporter`` reads from a grader: base64 of JSON
classroom50     ``result.json`` of a submission's release
junit           JUnit XML, one test a check
=============== =============================================================================

Hidden checks are counted and not described.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterable
from typing import Any
from xml.etree import ElementTree

Result = dict[str, Any]
Hidden = frozenset[str]

UNGRADABLE = (
    "This run could not be judged in full. That is the kit's fault or the machine's, not yours."
)


def items(result: Result) -> list[dict[str, Any]]:
    """The checks, and the answers where there are any."""
    return [*result["checks"], *result.get("answers", ())]


def explained(item: dict[str, Any]) -> str:
    """What a student reads below a check."""
    lines = [item["rationale"]]
    lines += [f"evidence: {item['evidence']}"] if item["evidence"] else []
    lines += [f"hint: {item['help']}"] if item["help"] else []
    return "\n".join(lines)


def head(result: Result, hidden: Hidden) -> str:
    """The sentences above the checks."""
    count = sum(item["name"] in hidden for item in items(result))
    lines = [result.get("reason") or ""]
    lines += [UNGRADABLE] if result["verdict"] == "ungradable" else []
    if count:
        lines.append("1 check is hidden." if count == 1 else f"{count} checks are hidden.")
    return "\n".join(line for line in lines if line)


def gradescope(result: Result, hidden: Hidden = frozenset()) -> dict[str, Any]:
    """``results.json`` of Gradescope; ``extra_data`` carries what an appeal needs."""
    return {
        "score": result["score"],
        "execution_time": round(result["seconds"]),
        "output": head(result, hidden),
        "output_format": "text",
        "visibility": "visible",
        "stdout_visibility": "hidden",
        "extra_data": {
            "digest": result["digest"],
            "seed": result["seed"],
            "era": result["era"],
            "verdict": result["verdict"],
        },
        "tests": [
            {
                "name": item["description"],
                "number": str(number),
                "score": item["points"],
                "max_score": item["max_points"],
                "status": "passed" if item["verdict"] == "pass" else "failed",
                "output": explained(item),
                "output_format": "text",
                "visibility": "hidden" if item["name"] in hidden else "visible",
            }
            for number, item in enumerate(result["checks"], start=1)
        ],
    }


def prairielearn(result: Result, hidden: Hidden = frozenset()) -> dict[str, Any]:
    """``results.json`` of PrairieLearn's external graders."""
    if result["verdict"] == "ungradable":
        return {"gradable": False, "format_errors": [head(result, hidden)]}
    return {
        "gradable": True,
        "score": result["score"] / result["max_score"] if result["max_score"] else 0.0,
        "message": head(result, hidden),
        "tests": [
            {
                "name": item["name"],
                "description": item["description"],
                "points": item["points"],
                "max_points": item["max_points"],
                "output": explained(item),
            }
            for item in result["checks"]
            if item["name"] not in hidden
        ],
    }


def autolab(result: Result, hidden: Hidden = frozenset()) -> str:
    """The report and, as its last line, the scores by check."""
    shown = [item for item in result["checks"] if item["name"] not in hidden]
    lines = [f"{item['verdict']}  {item['description']}\n{explained(item)}" for item in shown]
    lines.insert(0, head(result, hidden))
    scores = {item["name"]: item["points"] for item in result["checks"]}
    return "\n".join([*filter(None, lines), json.dumps({"scores": scores})]) + "\n"


def github(result: Result, hidden: Hidden = frozenset()) -> str:
    """The ``result`` output of one autograding step: base64 of the reporter's JSON."""
    words = {"pass": "pass", "fail": "fail"}
    data = {
        "version": 1,
        "status": words.get(result["verdict"], "error"),
        "max_score": result["max_score"],
        "tests": [
            {
                "name": item["name"] if item["name"] in hidden else item["description"],
                "status": words.get(item["verdict"], "error"),
                "score": item["points"],
                "message": "" if item["name"] in hidden else explained(item),
                "test_code": item["name"],
                "filename": "",
                "line_no": 0,
                "execution_time": 0,
            }
            for item in result["checks"]
        ],
    }
    return base64.b64encode(json.dumps(data, ensure_ascii=False).encode()).decode() + "\n"


def classroom50(result: Result, hidden: Hidden = frozenset()) -> dict[str, Any]:
    """``result.json`` of a submission: score, and the tests by name."""
    return {
        "score": result["score"],
        "max_score": result["max_score"],
        "status": result["verdict"],
        "output": head(result, hidden),
        "tests": [
            {
                "name": item["name"],
                "description": item["description"],
                "passed": {"pass": True, "fail": False}.get(item["verdict"]),
                "score": item["points"],
                "max_score": item["max_points"],
                "output": explained(item),
            }
            for item in result["checks"]
            if item["name"] not in hidden
        ],
    }


def junit(results: Iterable[tuple[str, Result]]) -> str:
    """JUnit XML: a suite a student and lab, a case a check; ungradable ones are errors."""
    root = ElementTree.Element("testsuites")
    for name, result in results:
        checks = result["checks"]
        count = {
            word: sum(item["verdict"] == word for item in checks) for word in ("fail", "ungradable")
        }
        suite = ElementTree.SubElement(
            root,
            "testsuite",
            name=plain(f"{name} lab-{result['lab']:02d}"),
            tests=str(len(checks)),
            failures=str(count["fail"]),
            errors=str(count["ungradable"]),
            time=str(result["seconds"]),
        )
        for item in checks:
            case = ElementTree.SubElement(
                suite, "testcase", name=item["name"], classname=f"lab-{result['lab']:02d}"
            )
            tag = {"fail": "failure", "ungradable": "error"}.get(item["verdict"])
            if tag:
                found = ElementTree.SubElement(case, tag, message=plain(item["rationale"]))
                found.text = plain(explained(item))
    ElementTree.indent(root)
    text = ElementTree.tostring(root, encoding="unicode")
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{text}\n'


def plain(text: str) -> str:
    """Without the control characters that XML 1.0 cannot hold."""
    return "".join(sign for sign in text if sign in "\n\t" or sign >= " ")


JSON: dict[str, Callable[[Result, Hidden], dict[str, Any]]] = {
    "gradescope": gradescope,
    "prairielearn": prairielearn,
    "classroom50": classroom50,
}
TEXT: dict[str, Callable[[Result, Hidden], str]] = {"autolab": autolab, "github": github}


def render(name: str, result: Result, hidden: Hidden = frozenset()) -> str:
    """A result in the format ``name`` as text; KeyError for one that is not there."""
    if name in JSON:
        return json.dumps(JSON[name](result, hidden), indent=2, ensure_ascii=False) + "\n"
    return TEXT[name](result, hidden)
