"""Waiting for the signal to stop."""

from __future__ import annotations

import os
import select
import signal


class StopSignal:
    """Set by SIGTERM or SIGINT. For the main thread.

    A pipe, and not an event of `threading`: that has a lock, which the main thread may hold at
    the very moment when the signal's handler, in the same thread, asks for it.
    """

    def __init__(self) -> None:
        self._reading, self._writing = os.pipe()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: self.set())

    def set(self) -> None:
        """Tell who waits to stop; as often as one likes."""
        os.write(self._writing, b".")

    def wait(self, timeout_secs: float) -> bool:
        """Return whether it is time to stop, after so long at the latest."""
        return bool(select.select([self._reading], [], [], timeout_secs)[0])
