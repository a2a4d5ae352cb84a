"""ProxyConfig: how the proxies themselves run (threads, environment, image).

Fields: istio/api ``networking/v1beta1/proxy_config.proto``.
Shown by ``meshctl describe pod POD``.
"""

from __future__ import annotations

from mesh.istio.models.base import Int32, LabelSelector, Model, StringMap


class ProxyImage(Model):
    """The flavour of the image."""

    image_type: str | None = None


class ProxyConfig(Model):
    """``spec`` of a ProxyConfig."""

    selector: LabelSelector | None = None
    concurrency: Int32 | None = None
    environment_variables: StringMap | None = None
    image: ProxyImage | None = None
