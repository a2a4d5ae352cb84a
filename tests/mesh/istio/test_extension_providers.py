"""extensionProviders of meshConfig: what is read, and the sentence for what is not."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from mesh.istio import extension_providers

SERVER: dict[str, Any] = {"service": "guard.tutorial.svc.cluster.local", "port": 8000}


def one(**more: Any) -> list[dict[str, Any]]:
    return [{"name": "sample", "envoyExtAuthzHttp": {**SERVER, **more}}]


def test_what_is_said() -> None:
    assert extension_providers.read(None, "m") == ()
    made = one(timeout="2s", failOpen=True, includeRequestHeadersInCheck=["x-*"])
    (found,) = extension_providers.read(made, "m")
    http = found.envoy_ext_authz_http
    assert (found.name, http.port, http.timeout) == ("sample", 8000, timedelta(seconds=2))
    assert (http.fail_open, http.include_request_headers_in_check) == (True, ["x-*"])


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        ({}, "m: a list of providers is needed, not {}"),
        (["a"], r"m\[0\]: name and envoyExtAuthzHttp are needed, not 'a'"),
        ([{"name": "a", "envoyExtAuthzGrpc": SERVER}], "envoyExtAuthzGrpc is not executed here"),
        ([{"name": "a"}], r"m\[0\].envoyExtAuthzHttp: Field required"),
        ([{"name": "A b", "envoyExtAuthzHttp": SERVER}], r"name: lower-case letters.*not 'A b'"),
        (one() * 2, r"m\[1\].name: there are two providers 'sample'"),
        (one(port=0), r"m\[0\].envoyExtAuthzHttp.port: .*greater than or equal to 1, not 0"),
        (one(service="a b"), "service: a service's full name .* not 'a b'"),
        (one(pathPrefix="x"), "pathPrefix: it should begin with `/`, found 'x'"),
        (one(statusOnError="418"), "statusOnError: a status is needed, not '418'"),
        (one(headersToDownstreamOnDeny=["*"]), r'headersToDownstreamOnDeny: a single wildcard \("'),
        (one(includeRequestBodyInCheck={"maxRequestBytes": 1}), "includeRequestBodyInCheck: it is"),
        (one(timeout=5), r"envoyExtAuthzHttp.timeout: .*duration with a unit.*, not 5"),
        (one(colour="red"), "envoyExtAuthzHttp.colour: Extra inputs are not permitted"),
    ],
)
def test_what_cannot_be_executed_is_refused(raw: object, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        extension_providers.read(raw, "m")
