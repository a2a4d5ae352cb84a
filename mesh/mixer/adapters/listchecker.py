"""listchecker: lets through what is on a list (white list), or what is not (``blacklist: true``).

``overrides`` are the entries, ``entryType`` how they compare: STRINGS, CASE_INSENSITIVE_STRINGS,
IP_ADDRESSES (with networks) or REGEX.  Lists behind ``providerUrl`` are not fetched.
Source: istio/istio 1.4 ``mixer/adapter/list``; the code for "not on the list" was NOT_FOUND (404).
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Mapping
from typing import Any

import re2

from mesh.mixer.adapters import AdapterError, Verdict, seconds

NOT_FOUND, INVALID_ARGUMENT, PERMISSION_DENIED = 5, 3, 7


class Adapter:
    """A handler of kind ``listchecker``."""

    def __init__(self, params: Mapping[str, Any], clock: Callable[[], float]) -> None:
        """Compile the list; AdapterError for an entry that is none of its type."""
        del clock
        if params.get("providerUrl"):
            raise AdapterError("listchecker: providerUrl is not fetched here: write overrides")
        self._type = str(params.get("entryType") or "STRINGS")
        self._black = bool(params.get("blacklist"))
        self._valid = seconds(params.get("cachingInterval"), 300.0)
        entries = [str(each) for each in params.get("overrides") or []]
        try:
            if self._type == "IP_ADDRESSES":
                self._networks = [ipaddress.ip_network(each, strict=False) for each in entries]
            elif self._type == "REGEX":
                self._patterns = [re2.compile(each) for each in entries]
        except (ValueError, re2.error) as error:
            raise AdapterError(f"listchecker: {error}") from None
        fold = self._type == "CASE_INSENSITIVE_STRINGS"
        self._entries = {each.lower() if fold else each for each in entries}

    def check(self, instance: str, values: Mapping[str, Any]) -> Verdict:
        """Look ``values['value']`` up."""
        del instance
        value = str(values.get("value", ""))
        try:
            found = self._found(value)
        except ValueError:
            return Verdict(INVALID_ARGUMENT, f"{value} is not a valid IP address", self._valid)
        if found and self._black:
            return Verdict(PERMISSION_DENIED, f"{value} is blacklisted", self._valid)
        if not found and not self._black:
            return Verdict(NOT_FOUND, f"{value} is not whitelisted", self._valid)
        return Verdict(valid_seconds=self._valid)

    def _found(self, value: str) -> bool:
        if self._type == "IP_ADDRESSES":
            address = ipaddress.ip_address(value)
            return any(address in network for network in self._networks)
        if self._type == "REGEX":
            return any(pattern.search(value) is not None for pattern in self._patterns)
        folded = value.lower() if self._type == "CASE_INSENSITIVE_STRINGS" else value
        return folded in self._entries
