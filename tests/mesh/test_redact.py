"""Private keys do not leave by a dump; names of files and everything else do."""

from __future__ import annotations

from mesh.redact import redacted


def test_only_the_key_is_hidden() -> None:
    certificate = {
        "certificateChain": {"inlineBytes": "Y2VydA=="},
        "privateKey": {"inlineBytes": "a2V5"},
    }
    data = {"a": [{"tlsCertificates": [certificate]}], "private_key": {"inline_string": "x"}}
    shown = redacted(data)
    assert shown["a"][0]["tlsCertificates"][0] == {
        "certificateChain": {"inlineBytes": "Y2VydA=="},
        "privateKey": {"inlineBytes": "W3JlZGFjdGVkXQ=="},
    }
    assert shown["private_key"] == {"inline_string": "[redacted]"}
    assert redacted({"privateKey": {"filename": "/k"}}) == {"privateKey": {"filename": "/k"}}
    assert certificate["privateKey"] == {"inlineBytes": "a2V5"}
