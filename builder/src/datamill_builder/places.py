"""Places at the machine's cores: as many handlers compute at once as there are places.

There are more threads that make shards than places, so that while one checks, syncs and commits
what its handler has written, that handler's core is at work on the next shard.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager


class Place:
    """What was taken of a core; it may be left before the context ends."""

    def __init__(self, places: Places) -> None:
        self._places = places
        self._left = False

    def leave(self) -> None:
        """Let somebody else have it; from then on nothing heavy is done."""
        if not self._left:
            self._left = True
            self._places.give_back()


class Places:
    """A number of places; for any thread."""

    def __init__(self, count: int) -> None:
        self._free = count
        self._stopped = False
        self._changed = threading.Condition()

    @contextmanager
    def one(self) -> Iterator[Place | None]:
        """Wait for a place and give it; None once `stop` was called."""
        with self._changed:
            self._changed.wait_for(lambda: self._free or self._stopped)
            if self._stopped:
                place = None
            else:
                self._free -= 1
                place = Place(self)
        try:
            yield place
        finally:
            if place is not None:
                place.leave()

    def give_back(self) -> None:
        """Free a place."""
        with self._changed:
            self._free += 1
            self._changed.notify()

    def stop(self) -> None:
        """Keep nobody waiting, and give no place any more."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()
