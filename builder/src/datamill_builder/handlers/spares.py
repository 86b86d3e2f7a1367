"""Handler processes that have begun before they are needed.

What a handler imports takes longer than to plan a build. A spare has imported it, and is opened
with a config when there is one; until then it has seen no request.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass

from datamill.errors import DatamillError
from datamill_builder.handlers.environments import Environment, HeldEnvironment
from datamill_builder.handlers.process import HandlerProcess
from datamill_builder.store import ScratchFolder

log = logging.getLogger(__name__)

SPARES = 2
"""So many are kept: one plans the next build and makes its first shard, the other joins it."""


@dataclass
class Begun:
    """A handler process that has no config yet, and its folder."""

    process: HandlerProcess
    folder: ScratchFolder
    held: HeldEnvironment
    """Its environment stays as long as it is not closed."""

    def close(self) -> None:
        """End the process, remove its folder and let go of its environment."""
        self.process.close()
        self.folder.close()
        self.held.close()


Handler = tuple[str, str]
"""What two environments share that can share a process: their key, and the entry point."""


class Spares:
    """Keeps spares of the handlers that were used last; for any thread.

    `make` begins one and has it import its handler.
    """

    def __init__(self, make: Callable[[Environment], Begun], count: int = SPARES) -> None:
        self._make = make
        self._count = count
        self._lock = threading.Lock()
        self._there: list[tuple[Handler, Begun]] = []
        self._coming: list[Handler] = []
        self._stopped = False

    def take(self, environment: Environment) -> Begun | None:
        """Return a spare that is alive; None where there is none."""
        wanted = _handler(environment)
        while True:
            with self._lock:
                found = next((spare for spare in self._there if spare[0] == wanted), None)
                if found is None:
                    return None
                self._there.remove(found)
            if found[1].process.alive:
                return found[1]
            found[1].close()

    def restock(self, environment: Environment) -> None:
        """Have as many as there should be of a handler that was just used; returns at once."""
        handler = _handler(environment)
        with self._lock:
            there = [*(each for each, _ in self._there), *self._coming].count(handler)
            missing = 0 if self._stopped else self._count - there
            self._coming += [handler] * missing
        for _ in range(missing):
            threading.Thread(
                target=self._add, args=(environment,), name="spare handler", daemon=True
            ).start()

    def stop(self) -> None:
        """End all of them, and keep none any more."""
        with self._lock:
            self._stopped = True
            there, self._there = self._there, []
        for _, spare in there:
            spare.close()

    def kill(self) -> None:
        """End all of them: no locks, no waiting, for a signal's handler."""
        for _, spare in self._there:
            spare.process.kill()

    def _add(self, environment: Environment) -> None:
        handler = _handler(environment)
        spare = None
        try:
            spare = self._make(environment)
        except (DatamillError, OSError) as error:
            # Whoever needs this handler next learns why by beginning one.
            log.debug("no spare of %s: %s", environment.package, error)
        surplus = []
        with self._lock:
            self._coming.remove(handler)
            if spare is not None:
                self._there.insert(0, (handler, spare))
            kept = 0 if self._stopped else self._count
            surplus, self._there = self._there[kept:], self._there[:kept]
        for _, old in surplus:
            old.close()


def _handler(environment: Environment) -> Handler:
    return environment.key, environment.entry_point
