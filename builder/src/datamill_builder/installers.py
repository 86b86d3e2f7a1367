"""Turns at making environments: some may take many minutes, and nobody else waits for those."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from datamill.errors import DatamillError
from datamill_builder.catalog.states import TaskKind

Task = tuple[TaskKind, str]
"""What is to be done, and for which dataset id or content key."""


class NoTurn(DatamillError):
    """As many environments are being made as may be at a time; the work has to wait."""


class Installers:
    """At most `most` turns at a time. What got none stands in line, and is called in order.

    The line holds no thread. It is lost with the process: whoever looks for forgotten work calls
    it then.
    """

    def __init__(self, most: int, call: Callable[[Task], None]) -> None:
        """`call` is told of the work whose turn it is, in any thread."""
        self._free = most
        self._call = call
        self._lock = threading.Lock()
        self._line: deque[Task] = deque()

    @contextmanager
    def turn(self, *, needed: bool) -> Iterator[None]:
        """Take a turn, if one is needed; raise `NoTurn` where none is free."""
        if not needed:
            yield
            self._call_next()  # what was called and needs no turn any more has left one free
            return
        with self._lock:
            if not self._free:
                raise NoTurn
            self._free -= 1
        try:
            yield
        finally:
            with self._lock:
                self._free += 1
            self._call_next()

    def line_up(self, work: Task) -> None:
        """Have work called as soon as there is a turn for it."""
        with self._lock:
            if work not in self._line:
                self._line.append(work)
        self._call_next()

    def _call_next(self) -> None:
        with self._lock:
            work = self._line.popleft() if self._free and self._line else None
        if work is not None:
            self._call(work)
