"""SidecarMaster: mitmproxy's Master with the few addons that a sidecar needs.

Differences to stock, each for a reason: no termlog and no proxyserver addon (listeners come and
go with xDS), no eager task factory for the whole loop (gRPC does not expect one), and hooks found
once instead of at every event (``HookTable``).
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from typing import Any

from mitmproxy import hooks, options
from mitmproxy.addonmanager import AddonManager, traverse
from mitmproxy.http import HTTPFlow
from mitmproxy.master import Master

Hook = Callable[[HTTPFlow], Awaitable[None] | None]


def hooks_of(addons: list[Any], name: str) -> list[tuple[Hook, bool]]:
    """Find the hook ``name`` of each of ``addons``: (function, whether it is asynchronous)."""
    found: list[tuple[Hook, bool]] = []
    for addon in traverse(addons):  # type: ignore[no-untyped-call]
        function = getattr(addon, name, None)
        if callable(function):
            found.append((function, inspect.iscoroutinefunction(function)))
    return found


class HookTable(AddonManager):
    """An AddonManager that remembers which addon has which hook."""

    def __init__(self, master: Master) -> None:
        self.table: dict[str, list[tuple[Hook, bool]]] = {}
        super().__init__(master)  # type: ignore[no-untyped-call]

    def register(self, addon: Any) -> Any:
        """Register ``addon`` and forget the table."""
        registered = super().register(addon)  # type: ignore[no-untyped-call]
        self.table = {}
        return registered

    def remove(self, addon: Any) -> None:
        """Remove ``addon`` and forget the table."""
        super().remove(addon)  # type: ignore[no-untyped-call]
        self.table = {}

    def find(self, name: str) -> list[tuple[Hook, bool]]:
        """Return the hooks called ``name`` in the order of the addons."""
        found = self.table.get(name)
        if found is None:
            found = self.table[name] = hooks_of(self.chain, name)
        return found

    async def run_hook(self, name: str, flow: HTTPFlow) -> None:
        """Run the hook ``name`` of every addon on ``flow``."""
        for function, is_async in self.find(name):
            result = function(flow)
            if is_async and result is not None:
                await result

    def notify(self, name: str, flow: HTTPFlow) -> None:
        """Run the hook ``name`` of every addon that has it as a plain function."""
        for function, is_async in self.find(name):
            if not is_async:
                function(flow)


class SidecarMaster(Master):
    """The Master of one sidecar; ``addons`` is a HookTable."""

    addons: HookTable

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(options.Options(), event_loop=loop)
        self.addons = HookTable(self)

    async def run(self) -> None:
        """Tell the addons that the sidecar runs, wait for ``shutdown``, tell them it ended."""
        await self.addons.trigger_event(hooks.RunningHook())  # type: ignore[no-untyped-call]
        try:
            await self.should_exit.wait()
        finally:
            await self.done()
