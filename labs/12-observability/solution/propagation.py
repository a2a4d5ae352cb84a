"""Which headers preference passes on: what ties its two requests together, and nothing else."""

FORWARDED = (
    "x-request-id",
    "x-b3-traceid",
    "x-b3-spanid",
    "x-b3-parentspanid",
    "x-b3-sampled",
    "x-b3-flags",
    "b3",
    "traceparent",
    "tracestate",
    "baggage-user-agent",
    "x-tenant",
)


def forwarded(headers: dict[str, str]) -> dict[str, str]:
    """Return the headers of the next request; ``headers`` are those that came, in small letters."""
    return {name: headers[name] for name in FORWARDED if name in headers}
