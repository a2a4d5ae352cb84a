"""Telemetry's accessLogging: which records a log shows, merged as istiod merges."""

from __future__ import annotations

import pytest

from mesh.accesslog import AccessLogRecord
from mesh.istio import era, load_text
from mesh.mixer.access_logging import AccessLogging

ERRORS = "{providers: [{name: envoy}], filter: {expression: 'response.code >= 400'}}"
BACK = {"app": "back"}


def shown(*entries: tuple[str, str, str], namespace: str = "tutorial") -> str:
    """Codes and sides shown to pods of ``back``; entries are (namespace, selector, accessLogging)."""
    text = "---\n".join(
        "apiVersion: telemetry.istio.io/v1\nkind: Telemetry\n"
        f"metadata: {{name: t{number}, namespace: {where}}}\n"
        f"spec:\n{selector}  accessLogging: {logging}\n"
        for number, (where, selector, logging) in enumerate(entries)
    )
    loaded = load_text(text, "t.yaml", era=era("istio-current"), namespace="tutorial")
    assert [str(each) for each in loaded.problems if str(each.level) == "error"] == []
    rules = AccessLogging(loaded.resources).of(namespace, BACK)
    found = []
    for direction in ("outbound", "inbound"):
        for code in (200, 404, 503):
            record = AccessLogRecord("p", direction, method="GET", path="/a", response_code=code)
            if direction not in rules or rules[direction](record):
                found.append(f"{direction[0]}{code}")
    return " ".join(found)


ALL = "o200 o404 o503 i200 i404 i503"
OWN = "  selector: {matchLabels: {app: back}}\n"


@pytest.mark.parametrize(
    ("entries", "codes"),
    [
        ([], ALL),
        ([("tutorial", "", f"[{ERRORS}]")], "o404 o503 i404 i503"),
        ([("elsewhere", "", "[{disabled: true}]")], ALL),
        ([("istio-system", "", "[{disabled: true}]")], ""),
        ([("tutorial", "", "[{disabled: true, match: {mode: CLIENT}}]")], "i200 i404 i503"),
        ([("tutorial", "", "[{disabled: true, match: {mode: SERVER}}]")], "o200 o404 o503"),
        ([("istio-system", "", "[{disabled: true}]"), ("tutorial", OWN, "[{}]")], ALL),
        ([("istio-system", "", f"[{ERRORS}]"), ("tutorial", "", "[{disabled: true}]")], ""),
        # Without a provider a filter is not for any log.
        ([("tutorial", "", "[{filter: {expression: 'response.code >= 400'}}]")], ALL),
        # Another log is chosen in place of the mesh's own.
        ([("tutorial", "", "[{providers: [{name: otel}]}]")], ""),
        # What is no expression here is said by the analyzer, and leaves nothing out.
        ([("tutorial", "", f"[{ERRORS.replace('response.code >= 400', 'has(a.b)')}]")], ALL),
        # An attribute that is not there: no value, no line.
        ([("tutorial", "", f"[{ERRORS.replace('response.code >= 400', 'a.b == 1')}]")], ""),
    ],
)
def test_what_is_shown(entries: list[tuple[str, str, str]], codes: str) -> None:
    assert shown(*entries) == codes
