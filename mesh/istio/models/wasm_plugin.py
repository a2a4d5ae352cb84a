"""WasmPlugin: a filter of one's own, as WebAssembly, put into the sidecar's chain.

Fields: istio/api ``extensions/v1alpha1/wasm.proto``.
Shown by ``meshctl describe pod POD``.
"""

from __future__ import annotations

from typing import Literal

from mesh.istio.models.base import Int32, LabelSelector, Model, Struct, TargetRef, UInt32


class EnvVar(Model):
    """An environment variable of the VM."""

    name: str
    value: str | None = None
    value_from: Literal["INLINE", "HOST"] | None = None


class VmConfig(Model):
    """The VM that runs the plugin."""

    env: list[EnvVar] | None = None


class WasmPort(Model):
    """A port."""

    number: UInt32


class TrafficSelector(Model):
    """Which traffic passes the plugin."""

    mode: Literal["UNDEFINED", "CLIENT", "SERVER", "CLIENT_AND_SERVER"] | None = None
    ports: list[WasmPort] | None = None


class WasmPlugin(Model):
    """``spec`` of a WasmPlugin."""

    selector: LabelSelector | None = None
    target_ref: TargetRef | None = None
    target_refs: list[TargetRef] | None = None
    url: str
    sha256: str | None = None
    image_pull_policy: Literal["UNSPECIFIED_POLICY", "IfNotPresent", "Always"] | None = None
    image_pull_secret: str | None = None
    verification_key: str | None = None
    plugin_config: Struct | None = None
    plugin_name: str | None = None
    phase: Literal["UNSPECIFIED_PHASE", "AUTHN", "AUTHZ", "STATS"] | None = None
    priority: Int32 | None = None
    fail_strategy: Literal["FAIL_CLOSE", "FAIL_OPEN", "FAIL_RELOAD"] | None = None
    vm_config: VmConfig | None = None
    match: list[TrafficSelector] | None = None
    type: Literal["UNSPECIFIED_PLUGIN_TYPE", "HTTP", "NETWORK"] | None = None
