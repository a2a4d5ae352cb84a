"""Progress: one line a step, a sign in front when it is done.

On a terminal the line is first shown with a dot and then rewritten; elsewhere only the finished
line is printed, so that a log has no control characters.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.markup import escape


class Progress:
    """Prints steps to ``console``."""

    def __init__(self, console: Console) -> None:
        self.console = console

    @contextmanager
    def step(self, title: str) -> Iterator[None]:
        """Show ``title`` while the block runs, then ✓ with its seconds, or ✗ when it raised."""
        if self.console.is_terminal:
            self.console.print(f" [dim]•[/] {escape(title)} ...", end="\r", no_wrap=True)
        begin = time.monotonic()
        try:
            yield
        except BaseException:
            self._finish("[red]✗[/]", title, begin)
            raise
        self._finish("[green]✓[/]", title, begin)

    def _finish(self, sign: str, title: str, begin: float) -> None:
        seconds = time.monotonic() - begin
        if self.console.is_terminal:
            self.console.print(" " * (self.console.width - 1), end="\r")
        self.console.print(f" {sign} {escape(title)} [dim]({seconds:.1f} s)[/]", highlight=False)
