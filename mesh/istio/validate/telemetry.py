"""The rules of Telemetry, ProxyConfig and WasmPlugin.

Source: istio/istio ``pkg/config/validation/validation.go`` ValidateTelemetry,
ValidateProxyConfig, ValidateWasmPlugin.
"""

from __future__ import annotations

import re

from mesh.istio.mixer_expression import ExpressionError, parse
from mesh.istio.models.proxy_config import ProxyConfig
from mesh.istio.models.telemetry import AccessLogging, Metrics, ProviderRef, Telemetry, Tracing
from mesh.istio.models.wasm_plugin import WasmPlugin
from mesh.istio.validate.findings import NO_EFFECT, Findings, Steps


def check_telemetry(spec: Telemetry, found: Findings) -> None:
    """Check a Telemetry."""
    found.policy_target(spec.selector, spec.target_ref, spec.target_refs)
    if len(spec.tracing or []) > 1:
        found.warning(("spec", "tracing"), "multiple tracing is not currently supported")
    for index, tracing in enumerate(spec.tracing or []):
        _check_tracing(tracing, ("spec", "tracing", index), found)
    for index, metrics in enumerate(spec.metrics or []):
        _check_metrics(metrics, ("spec", "metrics", index), found)
    for index, logging in enumerate(spec.access_logging or []):
        _check_providers(logging.providers, ("spec", "accessLogging", index), found)
        _check_filter(logging, ("spec", "accessLogging", index), found)


def _check_providers(providers: list[ProviderRef] | None, path: Steps, found: Findings) -> None:
    for index, provider in enumerate(providers or []):
        if not provider.name:
            here: Steps = (*path, "providers", index, "name")
            found.error(here, "providers.name may not be empty")


def _check_filter(logging: AccessLogging, path: Steps, found: Findings) -> None:
    expression = logging.filter.expression if logging.filter else ""
    if not expression:
        return
    here: Steps = (*path, "filter", "expression")
    if not logging.providers:
        text = "accessLogging: a filter counts only where providers name the log it is for"
        found.info(NO_EFFECT, here, text, "Add `providers: [{name: envoy}]`.")
        return
    try:
        parse(expression)
    except ExpressionError as error:
        why = "Executed are attributes, literals, comparisons, &&, || and !, not all of CEL."
        found.info(NO_EFFECT, here, f"this filter has no effect in this kit: {error}", why)


def _check_tracing(tracing: Tracing, path: Steps, found: Findings) -> None:
    if len(tracing.providers or []) > 1:
        text = "multiple providers is not currently supported"
        found.warning((*path, "providers"), text)
    _check_providers(tracing.providers, path, found)
    share = tracing.random_sampling_percentage
    if share is not None and not 0 <= share <= 100:
        text = "randomSamplingPercentage must be in range [0.0, 100.0]"
        found.error((*path, "randomSamplingPercentage"), text, expected="0.0..100.0")
    for name, tag in (tracing.custom_tags or {}).items():
        here: Steps = (*path, "customTags", name)
        if not name:
            found.error(here, "tag name may not be empty")
        if tag.literal is not None and not tag.literal.value:
            found.error(here, "literal tag value may not be empty")
        if tag.header is not None and not tag.header.name:
            found.error(here, "header tag name may not be empty")
        if tag.environment is not None and not tag.environment.name:
            found.error(here, "environment tag name may not be empty")


def _check_metrics(metrics: Metrics, path: Steps, found: Findings) -> None:
    _check_providers(metrics.providers, path, found)
    for index, override in enumerate(metrics.overrides or []):
        here: Steps = (*path, "overrides", index)
        for name, tag in (override.tag_overrides or {}).items():
            place: Steps = (*here, "tagOverrides", name)
            if not name:
                found.warning(place, "tagOverrides.name may not be empty")
            if tag.operation == "REMOVE" and tag.value:
                text = "tagOverrides.value may only be set when operation is UPSERT"
                found.error(place, text)
            elif tag.operation != "REMOVE" and not tag.value:
                text = "tagOverrides.value must be set when operation is UPSERT"
                found.error(place, text)
            elif tag.value:
                _check_expression((*place, "value"), tag.value, found)
        if override.match is not None and override.match.custom_metric == "":
            found.error((*here, "match", "customMetric"), "customMetric may not be empty")


def _check_expression(path: Steps, text: str, found: Findings) -> None:
    try:
        parse(text)
    except ExpressionError as error:
        why = "Executed are attributes, literals, comparisons, &&, || and !, not all of CEL."
        found.info(NO_EFFECT, path, f"this tag has no effect in this kit: {error}", why)


def check_proxy_config(spec: ProxyConfig, found: Findings) -> None:
    """Check a ProxyConfig."""
    if spec.selector is not None:
        found.selector(("spec", "selector", "matchLabels"), spec.selector.match_labels)
    if spec.concurrency is not None and spec.concurrency < 0:
        text = "concurrency must be greater than or equal to 0"
        found.error(("spec", "concurrency"), text)


def check_wasm_plugin(spec: WasmPlugin, found: Findings) -> None:
    """Check a WasmPlugin."""
    found.policy_target(spec.selector, spec.target_ref, spec.target_refs)
    path: Steps = ("spec", "url")
    scheme, separator, _ = spec.url.partition("://")
    if not spec.url:
        found.error(path, "url field needs to be set")
    elif separator and scheme not in ("file", "http", "https", "oci"):
        text = f"url contains unsupported scheme: {scheme}"
        found.error(path, text, expected="oci, https, http, file")
    if spec.sha256:
        here: Steps = ("spec", "sha256")
        if len(spec.sha256) != 64:
            found.error(here, "sha256 field must be 64 characters long")
        elif not re.fullmatch("[a-f0-9]{64}", spec.sha256):
            found.error(here, "sha256 field must match [a-f0-9]{64} pattern")
    seen: set[str] = set()
    env = spec.vm_config.env if spec.vm_config else None
    for index, variable in enumerate(env or []):
        here = ("spec", "vmConfig", "env", index)
        if not variable.name:
            found.error(here, "spec.vmConfig.env invalid")
        if variable.name in seen:
            found.error(here, "duplicate env")
        seen.add(variable.name)
        if variable.value_from == "HOST" and variable.value:
            text = "value may not be set when valueFrom is HOST"
            found.error(here, text)
