"""MeshConfig: the settings of the whole mesh, in the ConfigMap ``istio`` of the root namespace.

istiod reads its key ``mesh`` (YAML) and takes a change at once.  Executed here:
``pathNormalization.normalization``, what becomes of a path before any rule looks at it (NONE, BASE: the
default, MERGE_SLASHES, DECODE_AND_MERGE_SLASHES), ``outboundTrafficPolicy.mode``, and the
``extensionProviders`` that policies name (``mesh.istio.extension_providers``).  A key that is not
executed is refused, since a setting that does nothing would be believed.
Source: Istio, "MeshConfig" and "Authorization policy normalization"; istio/istio
``pilot/pkg/networking/core/listener_builder.go`` (Setup normalization).
Shown by ``meshctl proxy-config listener POD -o json`` (``normalizePath``, ``mergeSlashes``).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, cast

import yaml
from envoy_data_plane.envoy.extensions.filters.network.http_connection_manager.v3 import (
    HttpConnectionManager,
    HttpConnectionManagerPathWithEscapedSlashesAction,
)

from mesh.istio import extension_providers
from mesh.istio.extension_providers import ExtensionProvider

Normalization = Literal["NONE", "BASE", "MERGE_SLASHES", "DECODE_AND_MERGE_SLASHES"]
NORMALIZATIONS = ("NONE", "BASE", "MERGE_SLASHES", "DECODE_AND_MERGE_SLASHES")
MODES = ("REGISTRY_ONLY", "ALLOW_ANY")
PLACE, KEY = "ConfigMap istio-system/istio", "mesh"
_EXECUTED = {"pathNormalization": "normalization", "outboundTrafficPolicy": "mode"}


@dataclass(frozen=True, slots=True)
class MeshConfig:
    """What is set; ``outbound_policy`` is ``""`` where nothing is said."""

    normalization: Normalization = "BASE"
    outbound_policy: str = ""
    extension_providers: tuple[ExtensionProvider, ...] = ()


def read(maps: Iterable[Mapping[str, str]]) -> MeshConfig:
    """Read the ``data`` of the ConfigMap, if there is one.  ValueError for what cannot be executed."""
    data = next(iter(maps), {})
    text = data.get(KEY, "")
    try:
        raw = yaml.safe_load(text) or {}
    except yaml.YAMLError as error:
        raise ValueError(f"{PLACE}: data.{KEY}: {' '.join(str(error).split())}") from None
    if not isinstance(raw, dict):
        raise ValueError(f"{PLACE}: data.{KEY} has to be a mapping, not {raw!r}")
    place = f"{PLACE}: {extension_providers.KEY}"
    providers = extension_providers.read(raw.pop(extension_providers.KEY, None), place)
    found = {key: _of(key, value) for key, value in raw.items()}
    normalization = _one_of(found, "pathNormalization", (*NORMALIZATIONS, "DEFAULT")) or "BASE"
    return MeshConfig(
        cast(Normalization, "BASE" if normalization == "DEFAULT" else normalization),
        _one_of(found, "outboundTrafficPolicy", MODES),
        providers,
    )


def _of(key: object, value: Any) -> Any:
    inner = _EXECUTED.get(str(key))
    if inner is None:
        raise ValueError(
            f"{PLACE}: {key} is not executed here: write "
            f"{' or '.join(sorted([*_EXECUTED, extension_providers.KEY]))}"
        )
    if not isinstance(value, dict) or set(value) - {inner}:
        raise ValueError(f"{PLACE}: {key} has the one key {inner}, not {value!r}")
    return value.get(inner, "")


def _one_of(found: dict[Any, Any], key: str, allowed: tuple[str, ...]) -> str:
    value = found.get(key, "")
    if value and value not in allowed:
        raise ValueError(
            f"{PLACE}: {key}.{_EXECUTED[key]}: one of {', '.join(allowed)}, not {value!r}"
        )
    return str(value)


def normalize(manager: HttpConnectionManager, normalization: Normalization) -> None:
    """Say what a listener does to paths."""
    action = HttpConnectionManagerPathWithEscapedSlashesAction
    manager.normalize_path = normalization != "NONE"
    manager.merge_slashes = normalization in ("MERGE_SLASHES", "DECODE_AND_MERGE_SLASHES")
    manager.path_with_escaped_slashes_action = (
        action.UNESCAPE_AND_FORWARD
        if normalization == "DECODE_AND_MERGE_SLASHES"
        else action.KEEP_UNCHANGED
    )
