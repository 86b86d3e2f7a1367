"""A thread that writes to the catalog what others tell it, so that they never wait for it."""

from __future__ import annotations

import queue
import threading
from abc import ABC, abstractmethod
from typing import Generic, TypeVar

Told = TypeVar("Told")


class BatchWriter(threading.Thread, ABC, Generic[Told]):
    """Has what it is told written, and what came meanwhile together, with the next."""

    def __init__(self, name: str) -> None:
        super().__init__(name=name, daemon=True)
        self._told: queue.SimpleQueue[Told | None] = queue.SimpleQueue()

    def tell(self, told: Told) -> None:
        """Have something written; for any thread."""
        self._told.put(told)

    def stop(self) -> None:
        """Write what was told so far, and end."""
        self._told.put(None)

    def run(self) -> None:
        """Write until stopped."""
        stopping = False
        while not stopping:
            batch = [self._told.get()]
            while not self._told.empty():
                batch.append(self._told.get())
            stopping = None in batch
            self.write([told for told in batch if told is not None])

    @abstractmethod
    def write(self, batch: list[Told]) -> None:
        """Write all of these in one transaction; with nothing to write, what was left over."""
