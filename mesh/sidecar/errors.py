"""ConfigRefusedError: why a configuration cannot be executed."""


class ConfigRefusedError(Exception):
    """A resource that this sidecar cannot execute; the text goes back in the NACK.

    Envoy does the same: the control plane learns the reason, the old configuration stays.
    """
