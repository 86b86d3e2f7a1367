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
    """The work has to wait: its environment is being made, or as many others as may be at a time.

    `environment` names the one that it needs.
    """

    def __init__(self, environment: str) -> None:
        super().__init__()
        self.environment = environment


class Installers:
    """At most `most` turns at a time, one per environment. What got none stands in line, and is
    called in order.

    The line holds no thread. It is lost with the process: whoever looks for forgotten work calls
    it then.
    """

    def __init__(self, most: int, call: Callable[[Task], None] = lambda _work: None) -> None:
        """`call` is told of the work whose turn it is, in any thread."""
        self._most = most
        self._call = call
        self._lock = threading.Lock()
        self._making: set[str] = set()
        self._line: deque[tuple[str, Task]] = deque()

    @contextmanager
    def turn(self, environment: str, *, needed: bool) -> Iterator[None]:
        """Take a turn at making an environment, if it is needed; raise `NoTurn` if it must wait."""
        if needed:
            self._take(environment)
        try:
            yield
        finally:
            if needed:
                with self._lock:
                    self._making.discard(environment)
            self.call_next()  # what was called and needs no turn any more has left one free

    def _take(self, environment: str) -> None:
        with self._lock:
            if not self._has_room_for(environment):
                raise NoTurn(environment)
            self._making.add(environment)

    def is_free(self, environment: str) -> bool:
        """Return whether one could have a turn at making an environment now."""
        with self._lock:
            return self._has_room_for(environment)

    def _has_room_for(self, environment: str) -> bool:
        return environment not in self._making and len(self._making) < self._most

    def line_up(self, work: Task, environment: str) -> None:
        """Have work called as soon as there is a turn for it."""
        with self._lock:
            if (environment, work) not in self._line:
                self._line.append((environment, work))
        self.call_next()

    def call_next(self) -> None:
        """Call the first that may have a turn; to be told when one that was called has none."""
        with self._lock:
            work = self._next()
        if work is not None:
            self._call(work)

    def _next(self) -> Task | None:
        if len(self._making) >= self._most:
            return None
        for waiting in self._line:
            if waiting[0] not in self._making:
                self._line.remove(waiting)
                return waiting[1]
        return None
