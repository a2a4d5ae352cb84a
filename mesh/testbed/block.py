"""Block: what starts when a ``with`` block begins and is stopped however it ends."""

from __future__ import annotations

from abc import ABC, abstractmethod
from types import TracebackType
from typing import Self


class Block(ABC):
    """Something to be started and stopped."""

    @abstractmethod
    def start(self) -> None:
        """Start everything; a TestbedError leaves nothing behind."""

    @abstractmethod
    def stop(self) -> None:
        """End it: nothing is left; calling it again does nothing."""

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()
