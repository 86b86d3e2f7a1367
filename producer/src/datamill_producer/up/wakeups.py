"""Signals for a main thread that waits: to stop, and that a child ended."""

from __future__ import annotations

import contextlib
import select
import signal
import socket
from collections.abc import Callable, Iterator
from types import FrameType

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Wakeups:
    """Counts the signals to stop, and wakes `wait` at once. For the main thread.

    No lock and no `threading.Event`: a handler runs in the middle of whatever the main thread
    does, and would wait for ever for a lock that the main thread holds.
    """

    def __init__(self, on_impatience: Callable[[], None]) -> None:
        """`on_impatience` is called by the second signal to stop, inside its handler."""
        self.told_to_stop = False
        self._on_impatience = on_impatience
        self._raising = False
        self._reader, self._writer = socket.socketpair()
        self._reader.setblocking(False)
        self._writer.setblocking(False)

    @contextlib.contextmanager
    def installed(self) -> Iterator[None]:
        """Handle signals meanwhile."""
        before = {number: signal.signal(number, self._on_stop) for number in STOP_SIGNALS}
        before[signal.SIGCHLD] = signal.signal(signal.SIGCHLD, lambda *_: None)
        descriptor = signal.set_wakeup_fd(self._writer.fileno(), warn_on_full_buffer=False)
        try:
            yield
        finally:
            signal.set_wakeup_fd(descriptor)
            for number, handler in before.items():
                signal.signal(number, handler)
            self._reader.close()
            self._writer.close()

    @contextlib.contextmanager
    def interrupting(self) -> Iterator[None]:
        """Raise `KeyboardInterrupt` for the first signal to stop, instead of only noting it.

        For what blocks for long and cleans up behind itself.
        """
        if self.told_to_stop:
            raise KeyboardInterrupt
        self._raising = True
        try:
            yield
        finally:
            self._raising = False

    def wait(self, timeout_secs: float) -> None:
        """Return after a signal, or when the time is over."""
        ready, _, _ = select.select([self._reader], [], [], timeout_secs)
        if ready:
            self._reader.recv(4096)

    def _on_stop(self, _number: int, _frame: FrameType | None) -> None:
        if self.told_to_stop:
            self._on_impatience()
            return
        self.told_to_stop = True
        if self._raising:
            self._raising = False
            raise KeyboardInterrupt
