"""Access loggers of a listener's filter, from their configuration."""

from __future__ import annotations

from collections.abc import Sequence

from envoy_data_plane.envoy.config.accesslog.v3 import AccessLog
from envoy_data_plane.envoy.extensions.access_loggers.file.v3 import FileAccessLog

from mesh.sidecar.access_log import AccessLogger, LogFiles
from mesh.sidecar.errors import ConfigRefusedError
from mesh.sidecar.xds import unpack


def make_loggers(configs: Sequence[AccessLog], logs: LogFiles) -> list[AccessLogger]:
    """Make the loggers.  Raises ConfigRefusedError for another kind than the file log."""
    made = []
    for entry in configs:
        message = unpack(entry.typed_config, f"access log {entry.name!r}")
        if not isinstance(message, FileAccessLog):
            raise ConfigRefusedError(
                f"access log {entry.name!r}: only the file access log can be executed"
            )
        made.append(AccessLogger(message, logs))
    return made
