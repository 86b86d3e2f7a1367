"""Which shard a worker takes next: a fair one, of a build whose handler can run on this machine.

Every other one is of the build that waits longest, the rest of the one that needs least: a sample
is there in a moment while large builds run, and those come to their end while samples are asked.

Another builder may have planned a build, and its environment may take minutes to make here, or
not be to be had. That is one worker's work, who holds no shard meanwhile; the others pass such
builds over, and leave them to whoever can make them now.
"""

from __future__ import annotations

import itertools
import logging
import threading
import time
from dataclasses import dataclass

from datamill.errors import DatamillError
from datamill_builder.attempts import PutOff
from datamill_builder.catalog import Transaction, tasks
from datamill_builder.catalog.states import TaskKind, TaskState
from datamill_builder.catalog.tasks import Claim
from datamill_builder.handlers.environments import Environment, Environments
from datamill_builder.handlers.process import HandlerStopped
from datamill_builder.installers import Installers, NoTurn
from datamill_builder.workbench import Workbench

log = logging.getLogger(__name__)

_GIVE_BACK_SECS = 1.0
"""How long a ticket is kept that nobody here can use: it may well come back at once."""
_TRIALS = 6
_FIRST_PAUSE_SECS = 2.0


@dataclass
class _Missing:
    """An environment that a build needs and this machine lacks."""

    environment: Environment
    trials: int = 0
    """How often it could not be made, while nobody else finished a shard of the build."""
    again_at: float = 0.0
    done: int = 0


class ShardClaims:
    """Claims shards for `owner`; for any thread."""

    def __init__(self, owner: str, bench: Workbench, environments: Environments) -> None:
        self._owner = owner
        self._bench = bench
        self._environments = environments
        # One worker is left, if there are several, for what needs no environment made.
        self._installers = Installers(max(1, bench.settings.workers - 1))
        self._turns = itertools.count()
        self._lock = threading.Lock()
        self._here: set[str] = set()
        """Content keys of builds whose environment was seen on this machine."""
        self._missing: dict[str, _Missing] = {}
        """By content key."""
        self._stopping = threading.Event()

    def take(self) -> Claim | None:
        """Claim the shard whose turn it is; None if there is none, or none for this machine.

        The ticket that led here is used up either way: it is replaced by another one where it may
        serve somebody else.
        """
        passed_over = self._passed_over()
        smallest_first = next(self._turns) % 2 == 1
        claim = self._bench.changes.make(
            lambda change: tasks.claim_fair_shard(change, self._owner, passed_over, smallest_first)
        )
        if claim is None and passed_over:
            self._give_ticket_back(passed_over)
        return claim

    def demand(self, content_key: str, environment: Environment) -> None:
        """Raise `PutOff` where an environment has to be made before a shard is begun.

        Not where that was tried in vain, and nobody else can do better: then it is made, or
        fails, as a part of the shard's attempt.
        """
        if content_key in self._here:
            return
        if self._environments.is_made(environment):
            self._here.add(content_key)
            return
        with self._lock:
            missing = self._missing.setdefault(content_key, _Missing(environment))
        if missing.trials < _TRIALS:
            raise PutOff(f"the environment of {environment.package} is not here yet")

    def make_missing(self, content_key: str) -> None:
        """Make the environment of a build that was put off, if it is one's turn."""
        with self._lock:
            missing = self._missing.get(content_key)
        if missing is None:
            return
        environment = missing.environment
        try:
            with self._installers.turn(environment.key, needed=True):
                log.info("%s: its environment is not here yet", environment.package)
                self._environments.python(environment)
        except (NoTurn, HandlerStopped):
            pass  # it is being made, is next, or this builder stops
        except (DatamillError, OSError) as error:
            log.warning("%s: %s", environment.package, error)
            self._count(content_key, missing)

    def stop(self) -> None:
        """Keep nobody waiting any more."""
        self._stopping.set()

    def _count(self, content_key: str, missing: _Missing) -> None:
        with self._bench.catalog.read() as connection:
            done = tasks.count(connection, TaskKind.SHARD, content_key, TaskState.DONE)
        others_can = done > missing.done
        with self._lock:
            missing.done = done
            missing.trials = 1 if others_can else missing.trials + 1
            missing.again_at = time.monotonic() + _FIRST_PAUSE_SECS * 2.0**missing.trials

    def _passed_over(self) -> list[str]:
        with self._lock:
            waiting = list(self._missing.items())
        come = [key for key, missing in waiting if self._environments.is_made(missing.environment)]
        with self._lock:
            for key in come:
                self._missing.pop(key, None)
        now = time.monotonic()
        return [
            key
            for key, missing in waiting
            if key not in come
            and (now < missing.again_at or not self._installers.is_free(missing.environment.key))
        ]

    def _give_ticket_back(self, passed_over: list[str]) -> None:
        """Leave work that has to wait here to whoever can do it now."""
        self._stopping.wait(_GIVE_BACK_SECS)

        def give_back(change: Transaction) -> None:
            for key in passed_over:
                if tasks.count(change.connection, TaskKind.SHARD, key, TaskState.PENDING):
                    tasks.wake(change, TaskKind.SHARD, key)
                    return

        self._bench.changes.make(give_back)
