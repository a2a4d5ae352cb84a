"""EnvoyFilter: which of its patches have effect here, and what is wrong with those.

A real mesh executes every patch; this kit some of clusters (``mesh.pilot.translate.envoy_filter``
judges these), limits of the HTTP connection manager (``connection_manager``) and Envoy's local rate
limit (``local_rate_limit``).
"""

from __future__ import annotations

from mesh.istio import connection_manager
from mesh.istio.local_rate_limit import BadLimitError, NoEffectError, read
from mesh.istio.models.envoy_filter import EnvoyFilter
from mesh.istio.validate.findings import NO_EFFECT, Findings, Steps

EXECUTED = (
    "Executed are MERGE of a CLUSTER, MERGE of limits of the HTTP connection manager (applyTo "
    "NETWORK_FILTER), and Envoy's local rate limit: applyTo HTTP_FILTER "
    "(INSERT_BEFORE), VIRTUAL_HOST or HTTP_ROUTE (MERGE of typed_per_filter_config), context "
    "SIDECAR_INBOUND or GATEWAY."
)


def check_envoy_filter(spec: EnvoyFilter, found: Findings) -> None:
    """Check an EnvoyFilter."""
    for index, patch in enumerate(spec.config_patches or []):
        if patch.apply_to == "CLUSTER":
            continue
        path: Steps = ("spec", "configPatches", index)
        try:
            if patch.apply_to == "NETWORK_FILTER":
                connection_manager.read(patch)
            else:
                read(patch)
        except NoEffectError as reason:
            text = f"EnvoyFilter: this patch is accepted, no effect in this kit: {reason}"
            found.info(NO_EFFECT, path, text, EXECUTED)
        except BadLimitError as wrong:
            found.error((*path, "patch", "value", *wrong.path), f"Envoy filter: {wrong}")
