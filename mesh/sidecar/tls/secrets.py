"""Secrets: where keys, certificates and trusted roots come from, and how they are renewed.

In a real mesh the agent beside Envoy writes a short-lived certificate and Envoy learns of it by
SDS (secret discovery service).  Here the sidecar reads Envoy's file form: a file with Secret
resources (``sds_config.path_config_source``), which name the files of certificate, key and roots,
or these files directly.  A certificate that has been renewed is used from the next connection on;
open connections keep theirs.  See it with ``meshctl proxy-config secret POD``.

Before each handshake the files' inode, time and size are looked at, so nothing polls and nothing
has to be told; a pair that is half written keeps the old one in force.

Source: Envoy, "Secret discovery service (SDS)" (configuration/security/secret).
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import yaml
from envoy_data_plane.envoy.config.core.v3 import DataSource
from envoy_data_plane.envoy.extensions.transport_sockets.tls.v3 import (
    CertificateValidationContext,
    SdsSecretConfig,
    Secret,
    TlsCertificate,
)
from envoy_data_plane.envoy.service.discovery.v3 import DiscoveryResponse

from mesh.sidecar.errors import ConfigRefusedError

logger = logging.getLogger(__name__)

Stamp = tuple[int, int, int]
"""What tells that a file is another one now: inode, modification time (ns), size."""


def stamp(path: str) -> Stamp:
    """Look at the file ``path``; zeros when it is missing."""
    try:
        status = os.stat(path)  # noqa: PTH116  before every handshake, so the cheap one
    except OSError:
        return (0, 0, 0)
    return (status.st_ino, status.st_mtime_ns, status.st_size)


class Reading:
    """Collects the files that one reading of a configuration has touched."""

    def __init__(self) -> None:
        self.stamps: dict[str, Stamp] = {}

    def file(self, path: str) -> bytes:
        """Return the content of ``path``.  Raises ConfigRefusedError."""
        self.stamps[path] = stamp(path)  # before the reading: a change during it is seen later
        try:
            return Path(path).read_bytes()
        except OSError as error:
            raise ConfigRefusedError(f"cannot read {path}: {error.strerror or error}") from None

    def source(self, source: DataSource | None, what: str) -> bytes:
        """Return the bytes of a DataSource.  Raises ConfigRefusedError."""
        if source is None:
            raise ConfigRefusedError(f"{what} is missing")
        if source.filename is not None:
            return self.file(source.filename)
        if source.inline_bytes is not None:
            return source.inline_bytes
        if source.inline_string is not None:
            return source.inline_string.encode()
        name = source.environment_variable or ""
        if name not in os.environ:
            raise ConfigRefusedError(f"{what}: there is no environment variable {name!r}")
        return os.environ[name].encode()

    def secret(self, config: SdsSecretConfig) -> Secret:
        """Return the Secret that ``config`` names.  Raises ConfigRefusedError."""
        source = config.sds_config
        path = ""
        if source is not None:
            path = (
                source.path_config_source.path if source.path_config_source else source.path or ""
            )
        if not path:
            raise ConfigRefusedError(
                f"secret {config.name!r}: only sds_config.path_config_source can be executed"
            )
        text = self.file(path)
        try:
            raw = yaml.load(text, _Loader)  # noqa: S506  a safe loader, the fast one if there
            resources = raw["resources"]
            found = {item["name"]: item for item in resources}
            plain: dict[str, Any] = {"resources": [found[config.name]]}
            response = DiscoveryResponse.from_dict(plain)
            return cast(Secret, response.resources[0].unpack())
        except (KeyError, TypeError):
            raise ConfigRefusedError(f"{path}: there is no secret {config.name!r} in it") from None
        except Exception as error:
            raise ConfigRefusedError(f"{path}: {error}") from None

    def certificate(self, config: SdsSecretConfig) -> TlsCertificate:
        """Return the key and certificate that ``config`` names.  Raises ConfigRefusedError."""
        made = self.secret(config).tls_certificate
        if made is None:
            raise ConfigRefusedError(f"secret {config.name!r} is not a tls_certificate")
        return made

    def validation(self, config: SdsSecretConfig) -> CertificateValidationContext:
        """Return the trusted roots that ``config`` names.  Raises ConfigRefusedError."""
        made = self.secret(config).validation_context
        if made is None:
            raise ConfigRefusedError(f"secret {config.name!r} is not a validation_context")
        return made


_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class Renewed[T]:
    """Something made of files, made anew when they have changed.

    ``make`` gets a Reading.  The first time it may raise ConfigRefusedError; later the old thing stays
    when the new one cannot be made, and the reason is logged.
    """

    def __init__(self, make: Callable[[Reading], T]) -> None:
        self._make = make
        self._stamps: dict[str, Stamp] = {}
        self._value = self._read()

    def _read(self) -> T:
        reading = Reading()
        made = self._make(reading)
        self._stamps = reading.stamps
        return made

    def get(self) -> T:
        """Return the newest one."""
        if any(stamp(path) != known for path, known in self._stamps.items()):
            try:
                self._value = self._read()
            except ConfigRefusedError as error:
                logger.warning("a renewed secret is not used: %s", error)
        return self._value
