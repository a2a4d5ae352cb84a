"""Which headers preference passes on.

A sidecar sees a request come in and another one go out.  That the second was made because of the
first only the application knows, and says so by copying headers.
"""


def forwarded(headers: dict[str, str]) -> dict[str, str]:
    """Return the headers of the next request; ``headers`` are those that came, in small letters."""
    return {}
