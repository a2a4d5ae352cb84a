"""Header to metadata: keep a header's value for the log and for later filters, out of sight.

In a real mesh Istio's peer metadata filter does it: a sidecar says who it is in
``x-envoy-peer-metadata-id``, the next one notes it as dynamic metadata, and the application never
sees it.  That is how a metric knows its ``source_workload`` where there is no certificate.  No
field of a VirtualService sets it; the control plane writes it into ``virtualInbound``.
See it with ``meshctl logs POD -o json`` (``downstream_peer``).

Source: Envoy ``source/extensions/filters/http/header_to_metadata/header_to_metadata_filter.cc``.
"""

from __future__ import annotations

from dataclasses import dataclass

from envoy_data_plane.envoy.extensions.filters.http.header_to_metadata.v3 import (
    Config,
    ConfigKeyValuePair,
    ConfigRule,
    ConfigValueEncode,
    ConfigValueType,
)
from mitmproxy.http import HTTPFlow

from mesh.sidecar.filters import FilterContext
from mesh.sidecar.mitm.flow import make_headers
from mesh.sidecar.stream_info import stream_info

FILTER = "envoy.filters.http.header_to_metadata"


@dataclass(frozen=True, slots=True)
class Target:
    """Where a value goes; a ``value`` of its own wins over the header's."""

    namespace: str
    key: str
    value: str


@dataclass(frozen=True, slots=True)
class Rule:
    """What happens when ``header`` (lower case) is there, and when it is missing."""

    header: bytes
    present: Target | None
    missing: Target | None
    remove: bool


def compile_rule(rule: ConfigRule) -> Rule:
    """Compile ``rule``; ValueError for what cannot be executed."""
    if not rule.header or rule.cookie:
        raise ValueError("header_to_metadata: only rules on headers can be executed")
    return Rule(
        rule.header.lower().encode(),
        _target(rule.on_header_present),
        _target(rule.on_header_missing),
        rule.remove,
    )


def _target(pair: ConfigKeyValuePair | None) -> Target | None:
    if pair is None:
        return None
    plain = pair.type is ConfigValueType.STRING and pair.encode is ConfigValueEncode.NONE
    if not plain or pair.regex_value_rewrite is not None:
        raise ValueError("header_to_metadata: only plain strings can be executed")
    return Target(pair.metadata_namespace or FILTER, pair.key, pair.value)


class HeaderToMetadata:
    """The filter; it looks at requests only."""

    def __init__(self, config: Config, context: FilterContext, name: str) -> None:
        del context, name
        if config.response_rules:
            raise ValueError("header_to_metadata: response_rules cannot be executed")
        self._rules = [compile_rule(rule) for rule in config.request_rules]

    def request(self, flow: HTTPFlow) -> None:
        """Note the values of ``flow``'s headers in its dynamic metadata."""
        info = stream_info(flow)
        headers = flow.request.data.headers
        for rule in self._rules:
            values = [value for name, value in headers.fields if name == rule.header]
            target = rule.present if values else rule.missing
            if target is not None:
                # Several headers are one to Envoy: their values joined by a comma.
                value = target.value or b",".join(values).decode("latin-1")
                if value:
                    info.metadata.setdefault(target.namespace, {})[target.key] = value
            if values and rule.remove:
                kept = [item for item in headers.fields if item[0] != rule.header]
                headers = flow.request.data.headers = make_headers(kept)
                info.head = None
