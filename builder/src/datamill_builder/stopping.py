"""Waiting for the signal to stop."""

from __future__ import annotations

import os
import select
import signal
import sys
from collections.abc import Callable

from datamill import exits


class StopSignal:
    """Set by SIGTERM or SIGINT; the second one ends the process at once. For the main thread.

    A pipe, and not an event of `threading`: that has a lock, which the main thread may hold at
    the very moment when the signal's handler, in the same thread, asks for it.
    """

    def __init__(self) -> None:
        self._reading, self._writing = os.pipe()
        self._last_act: Callable[[], None] | None = None
        self._told = False
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: self.set())

    def at_the_second(self, last_act: Callable[[], None]) -> None:
        """Have something done before the end, inside the signal's handler: no locks there."""
        self._last_act = last_act

    def set(self) -> None:
        """Tell who waits to stop; at the second time, end."""
        if self._told:
            self._end()
        self._told = True
        os.write(self._writing, b".")

    def wait(self, timeout_secs: float) -> bool:
        """Return whether it is time to stop, after so long at the latest."""
        return bool(select.select([self._reading], [], [], timeout_secs)[0])

    def _end(self) -> None:
        """End as a power cut would: whatever is half done is nobody's, and swept away later."""
        if self._last_act is not None:
            self._last_act()
        os.write(sys.stderr.fileno(), b"datamill builder: ended at once; nothing was handed back\n")
        os._exit(exits.INTERRUPTED)
