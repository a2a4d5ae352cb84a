"""Lets betterproto2 validate a message with the validator that its class already has.

The library validates every message that it reads, each time with a validator built anew from the
class's schema: a millisecond a message, thousands of messages in a sidecar's first configuration.
pydantic keeps a finished validator of the same schema at the class; it finds the same faults.
"""

from __future__ import annotations

from typing import Any, cast

from betterproto2 import Message


def reuse_validators() -> None:
    """Do so in this process from now on; doing it again changes nothing."""
    Message._validate = _validate  # type: ignore[method-assign]


def _validate(self: Message) -> None:
    values = {name: value for name, value in vars(self).items() if name != "_unknown_fields"}
    cast(Any, type(self)).__pydantic_validator__.validate_python(values)
