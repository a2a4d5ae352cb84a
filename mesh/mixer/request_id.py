"""Request ids as one finds them again: Envoy writes into a UUID why its request is traced.

The sidecar that a request meets first puts a digit in place of the UUID's version, ``4``: ``9`` for
sampled, ``a`` and ``b`` for forced by a client or a service.  So who sent ``x-request-id`` with a UUID of
their own finds another one in logs and spans.  An id that is no UUID is left alone, and its request is not
traced.  Source: Envoy ``source/extensions/request_id/uuid/config.cc`` (setTraceReason).
See it with ``meshctl curl / -H 'x-request-id: UUID'`` and ``meshctl trace UUID``.
"""

from __future__ import annotations

import re

_REASON = 14
"""Place of the digit."""
_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{0,4}(?:-[0-9a-f]{0,12})?")


def without_reason(request_id: str) -> str:
    """Return a UUID, or the beginning of one, without what Envoy writes into it; others as they are."""
    if _UUID.fullmatch(request_id) is None:
        return request_id
    return f"{request_id[:_REASON]}*{request_id[_REASON + 1 :]}"


def certain(request_id: str) -> str:
    """Return the part of an id that stands in every log line about its request."""
    return without_reason(request_id).partition("*")[0]
