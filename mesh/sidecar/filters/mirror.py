"""Mirror: a copy of the request for another cluster, fire and forget.

In a VirtualService: ``mirror`` (or ``mirrors``) with ``mirrorPercentage`` (default 100).  The
shadow goes out when the primary goes upstream, so never after an abort or a refusal; its answer
is thrown away, it is not retried, and the primary neither waits for it nor fails with it.  The
shadow's host gets ``-shadow`` (``recommendation-shadow:8080``), so that logs tell them apart.
A cluster that does not exist is dropped silently.  A mirrored POST has real side effects.
See it with ``meshctl logs POD`` of the mirrored version.

Source: Envoy, ``source/common/router/shadow_writer_impl.cc``, RequestMirrorPolicy in
``route_components.proto``, ``source/common/router/router.cc`` (``shouldShadow``).
"""

from __future__ import annotations

import random
from dataclasses import dataclass

from envoy_data_plane.envoy.config.route.v3 import RouteActionRequestMirrorPolicy

from mesh.sidecar.filters.matchers import draw, runtime_fraction

_ADDRESS = b"127.0.0.1"
_INTERNAL = b"x-envoy-internal"


@dataclass(frozen=True, slots=True)
class Mirror:
    """A compiled RequestMirrorPolicy; one of ``cluster`` and ``cluster_header`` is set."""

    cluster: str
    cluster_header: str
    fraction: tuple[int, int]
    suffix: bool
    host: str
    trace_sampled: bool | None


@dataclass(frozen=True, slots=True)
class Shadow:
    """One copy to send: to which cluster, under which authority."""

    cluster: str
    authority: str
    trace_sampled: bool | None = None


def compile_mirror(policy: RouteActionRequestMirrorPolicy) -> Mirror:
    """Compile ``policy``."""
    return Mirror(
        cluster=policy.cluster,
        cluster_header=policy.cluster_header.lower(),
        fraction=runtime_fraction(policy.runtime_fraction),
        suffix=not policy.disable_shadow_host_suffix_append,
        host=policy.host_rewrite_literal,
        trace_sampled=policy.trace_sampled,
    )


def shadow_authority(authority: str) -> str:
    """``host`` -> ``host-shadow``, ``host:port`` -> ``host-shadow:port``; addresses too."""
    host, separator, port = authority.rpartition(":")
    if not separator or port.endswith("]"):  # an IPv6 address without a port
        return f"{authority}-shadow"
    return f"{host}-shadow:{port}"


def forwarded(fields: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """Add the sender's address to ``x-forwarded-for`` of a copy, and ``x-envoy-internal``.

    Source: Envoy, ``source/common/http/async_client_impl.cc`` (``send_xff``, ``send_internal``).
    """
    name = b"x-forwarded-for"
    values = [value for key, value in fields if key == name]
    kept = [item for item in fields if item[0] not in (name, _INTERNAL)]
    return [*kept, (name, b",".join([*values, _ADDRESS])), (_INTERNAL, b"true")]


def decide(
    mirrors: tuple[Mirror, ...],
    authority: str,
    rng: random.Random,
    headers: dict[str, str] | None = None,
) -> list[Shadow]:
    """Draw for each mirror on its own; ``authority`` is the one after rewriting.

    ``headers`` gives the request's headers for mirrors that name their cluster by a header.
    """
    shadows = []
    for mirror in mirrors:
        cluster = mirror.cluster or (headers or {}).get(mirror.cluster_header, "")
        if not cluster or not draw(mirror.fraction, rng):
            continue
        host = mirror.host or (shadow_authority(authority) if mirror.suffix else authority)
        shadows.append(Shadow(cluster, host, mirror.trace_sampled))
    return shadows
