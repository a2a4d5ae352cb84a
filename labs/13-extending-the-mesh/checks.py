"""Lab 13's probes and checks: a filter beside recommendation's sidecar, asked case by case.

Every request is decided by what it carries, so all is counted exactly: the answer with its
headers on one side, recommendation's journal (``services.scripted``) on the other.
"""

from __future__ import annotations

from typing import Any

from grader.checks import check, probe
from grader.collect import Lab
from grader.evidence.record import Evidence
from grader.verdict import Outcome, failed, passed

KEY = "x-api-key"
MISTAKE = """\
class Guard:
    def request(self, flow):
        flow.request.headers["x-api-key"]

addons = [Guard()]
"""
MARKS = """\
from mitmproxy import http

class Guard:
    def request(self, flow):
        if flow.request.path.startswith("/refused"):
            flow.response = http.Response.make(401, "no")
    def response(self, flow):
        flow.response.headers["{mark}"] = "{team}"

addons = [Guard()]
"""
OPEN = """\
from mitmproxy import http

class Guard:
    def request(self, flow):
        if not flow.request.path.startswith("{open}"):
            flow.response = http.Response.make(401, "no key")

addons = [Guard()]
"""
REFUSES = """\
from mitmproxy import http

class Guard:
    def request(self, flow):
        if flow.request.headers.get("x-api-key") != "key-of-the-routes":
            flow.response = http.Response.make(401, "no key")

addons = [Guard()]
"""


def ask(
    lab: Lab, name: str, path: str, key: str | None = None, method: str = "GET"
) -> dict[str, Any]:
    """Ask recommendation as preference's application would; returns what came back, as data."""
    request_id = f"{name}-{lab.nonce}"
    headers = {"x-request-id": request_id} | ({} if key is None else {KEY: key})
    answer = lab.testbed.request(
        f"http://recommendation:8080{path}",
        from_pod="preference",
        headers=headers,
        method=method,
        body=b"5" if method == "POST" else b"",
    )
    return {
        "name": name,
        "id": request_id,
        "path": path,
        "method": method,
        "status": answer.status,
        "body": answer.text.strip()[:300],
        "mark": answer.header(lab.parameters["mark"]),
    }


@probe
def guard(lab: Lab) -> None:
    """Asking with the key, without it, and with others."""
    lab.apply_student()
    key, own = lab.parameters["key"], lab.parameters["open"]
    refused = [
        ask(lab, "no-key", "/"),
        ask(lab, "empty-key", "/", ""),
        ask(lab, "wrong-key", "/", "let-me-in"),
        ask(lab, "longer-key", "/", key + "s"),
        ask(lab, "capitals", "/", key.upper()),
        ask(lab, "post", "/ratings", None, "POST"),
        ask(lab, "begins-alike", own + "-and-secret"),
        ask(lab, "further-down", "/x" + own),
        ask(lab, "in-the-query", f"/?next={own}/"),
    ]
    served = [
        ask(lab, "key", "/", key),
        ask(lab, "key-and-query", "/ratings?of=all", key),
        ask(lab, "key-and-post", "/ratings", key, "POST"),
    ]
    public = [
        ask(lab, "open", own),
        ask(lab, "open-below", own + "/a/b"),
        ask(lab, "open-query", own + "?page=2"),
        ask(lab, "open-with-key", own + "/c", key),
    ]
    lab.note("guard", refused=refused, served=served, public=public)


@probe
def predicted(lab: Lab) -> None:
    """Measuring what was to be predicted."""
    values = lab.parameters
    lab.put_code({"filter.py": MISTAKE})
    lab.note("predicted", mistake=ask(lab, "mistake", "/")["status"])
    lab.put_code({"filter.py": MARKS.format(mark=values["mark"], team=values["team"])})
    paths = ["/refused"] * 6 + ["/"] * 4
    seen = [ask(lab, f"mark-{number}", path) for number, path in enumerate(paths)]
    lab.note("predicted", marked=sum(1 for each in seen if each["mark"] == values["team"]))
    own = values["open"]
    lab.put_code({"filter.py": OPEN.format(open=own)})
    found = [
        ask(lab, f"path-{number}", path)
        for number, path in enumerate((own, own + "/a", own + "-and-secret", "/x" + own))
    ]
    lab.note("predicted", through=[each["path"] for each in found if each["status"] == 200])
    lab.put_code({"filter.py": REFUSES})  # for the diagnosis


def arrived(evidence: Evidence, asked: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """The journal's lines of these requests, by request id."""
    lines = evidence.journal_of([each["id"] for each in asked], "recommendation")
    return {str(line["request_id"]): line for line in lines}


def told(each: dict[str, Any]) -> str:
    """``GET /public: 401 'no key'``."""
    return (
        f"{each['method']} {each['path']} ({each['name']}): {each['status']} {each['body'][:120]!r}"
    )


def broken(evidence: Evidence) -> Outcome | None:
    """The outcome when the code itself failed: its error stands in the answers."""
    notes = evidence.notes["guard"]
    for each in [*notes["refused"], *notes["served"], *notes["public"]]:
        if each["status"] == 500 and each["body"].startswith("filter failed"):
            return failed(f"{each['body']}.", help=f"It failed at {each['method']} {each['path']}.")
    return None


@check(points=3, needs=("guard",))
def nobody_gets_in_without_the_key(evidence: Evidence) -> Outcome:
    """A request without the key is answered as the task says, and never reaches the application."""
    if bad := broken(evidence):
        return bad
    asked, wanted = evidence.notes["guard"]["refused"], evidence.parameters["status"]
    there = arrived(evidence, asked)
    if through := [each for each in asked if each["id"] in there or each["status"] == 200]:
        return failed(
            f"{len(through)} of {len(asked)} requests without the key got through.",
            help="Compare the whole value, and the whole path up to the question mark.",
            evidence=told(through[0]),
        )
    if odd := [each for each in asked if each["status"] != wanted or each["body"] != "no key"]:
        return failed(
            f"A refused request is answered {odd[0]['status']} {odd[0]['body'][:60]!r}, asked for: "
            f"{wanted} 'no key'.",
            help="http.Response.make(status, body).",
            evidence=told(odd[0]),
        )
    return passed(f"All {len(asked)} requests without the key were answered {wanted}.")


@check(points=2, needs=("guard",))
def the_key_opens(evidence: Evidence) -> Outcome:
    """A request with the key reaches recommendation as it was sent."""
    if bad := broken(evidence):
        return bad
    asked = evidence.notes["guard"]["served"]
    there = arrived(evidence, asked)
    for each in asked:
        line = there.get(each["id"])
        if each["status"] != 200 or line is None:
            return failed("A request with the key was refused.", help="", evidence=told(each))
        if line["path"] != each["path"] or line["method"] != each["method"]:
            return failed(
                f"It arrived as {line['method']} {line['path']}.",
                help="Path and method are not yours to change.",
                evidence=told(each),
            )
    return passed("With the key everything arrives as it was sent.")


@check(points=1, needs=("guard",))
def the_open_path(evidence: Evidence) -> Outcome:
    """The open path, what is below it, and a query behind it, need no key."""
    if bad := broken(evidence):
        return bad
    asked = evidence.notes["guard"]["public"]
    if shut := [each for each in asked if each["status"] != 200]:
        return failed(
            f"{len(shut)} of {len(asked)} requests to the open path were refused.",
            help="flow.request.path has the query in it.",
            evidence=told(shut[0]),
        )
    return passed("The open path is open.")


@check(points=2, needs=("guard",))
def the_application_never_sees_the_key(evidence: Evidence) -> Outcome:
    """No request that reaches recommendation has the key in it."""
    if bad := broken(evidence):
        return bad
    asked = [*evidence.notes["guard"]["served"], *evidence.notes["guard"]["public"]]
    there = arrived(evidence, asked)
    if not there:
        return failed("Nothing reached recommendation.", help="Is everything refused?")
    if leaked := [each for each in asked if KEY in there.get(each["id"], {}).get("headers", {})]:
        return failed(
            f"{len(leaked)} of {len(there)} requests arrived with the key.",
            help="Take the header off before the request goes on, at the open path too.",
            evidence=told(leaked[0]),
        )
    return passed(f"None of {len(there)} requests arrived with the key.")


@check(points=2, needs=("guard",))
def every_answer_is_marked(evidence: Evidence) -> Outcome:
    """Every answer, the filter's own too, carries the header of the task."""
    if bad := broken(evidence):
        return bad
    notes, team = evidence.notes["guard"], evidence.parameters["team"]
    asked = [*notes["refused"], *notes["served"], *notes["public"]]
    if plain := [each for each in asked if each["mark"] != team]:
        return failed(
            f"{len(plain)} of {len(asked)} answers have no {evidence.parameters['mark']}: {team}.",
            help="Which hook sees every answer?",
            evidence=f"{told(plain[0])}, {evidence.parameters['mark']}: {plain[0]['mark'] or 'none'}",
        )
    return passed(f"All {len(asked)} answers are marked.")
