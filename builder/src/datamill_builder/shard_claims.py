"""Which shard a worker takes next: a fair one, of a build whose handler can run on this machine.

Every other one is of the build that waits longest, the rest of the one that needs least: a sample
is there in a moment while large builds run, and those come to their end while samples are asked.

Another builder may have planned a build, and its environment may take minutes to make here. That
is done by one worker, who holds no shard meanwhile; the others pass such builds over.
"""

from __future__ import annotations

import itertools
import logging
import threading

from datamill.errors import DatamillError
from datamill_builder.attempts import Attempts
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


class ShardClaims:
    """Claims shards for `owner`; for any thread."""

    def __init__(
        self, owner: str, bench: Workbench, attempts: Attempts, environments: Environments
    ) -> None:
        self._owner = owner
        self._bench = bench
        self._attempts = attempts
        self._environments = environments
        # One worker is left, if there are several, for what needs no environment made.
        self._installers = Installers(max(1, bench.settings.workers - 1))
        self._turns = itertools.count()
        self._lock = threading.Lock()
        self._waiting: dict[str, str] = {}
        """Content key → environment, of builds that are passed over."""
        self._can_begin: set[str] = set()
        """Content keys of builds whose environment was seen here, or could not be made ahead: then
        it is made, or fails for good, as a part of a shard's attempt."""
        self._failed: set[str] = set()
        self._stopping = threading.Event()

    def take(self) -> Claim | None:
        """Claim the shard whose turn it is; None if there is none, or none for this machine.

        Makes an environment, if that is what there is to do. The ticket that led here is used up
        either way: it is replaced by another one where it may serve somebody else.
        """
        passed_over = self._passed_over()
        smallest_first = next(self._turns) % 2 == 1
        claim = self._bench.changes.make(
            lambda change: tasks.claim_fair_shard(change, self._owner, passed_over, smallest_first)
        )
        if claim is None:
            self._give_ticket_back(passed_over)
            return None
        if claim.subject in self._can_begin:
            return claim
        environment = self._bench.recipe(claim.subject).environment
        if self._environments.is_made(environment) or environment.key in self._failed:
            self._can_begin.add(claim.subject)
            return claim
        self._pass_over(claim.subject, environment)
        self._attempts.hand_back(claim)
        self._make(environment)
        return None

    def stop(self) -> None:
        """Keep nobody waiting any more."""
        self._stopping.set()

    def _passed_over(self) -> list[str]:
        with self._lock:
            self._waiting = {
                content_key: environment
                for content_key, environment in self._waiting.items()
                if not self._installers.is_free(environment)
            }
            return list(self._waiting)

    def _pass_over(self, content_key: str, environment: Environment) -> None:
        with self._lock:
            self._waiting[content_key] = environment.key

    def _make(self, environment: Environment) -> None:
        try:
            with self._installers.turn(environment.key, needed=True):
                log.info("%s: its environment is not here yet", environment.package)
                self._environments.python(environment)
        except (NoTurn, HandlerStopped):
            pass  # it is being made, is next, or this builder stops
        except (DatamillError, OSError) as error:
            log.warning("%s: %s", environment.package, error)
            self._failed.add(environment.key)

    def _give_ticket_back(self, passed_over: list[str]) -> None:
        """Leave work that has to wait here to whoever can do it now."""
        if not passed_over or self._stopping.wait(_GIVE_BACK_SECS):
            return

        def give_back(change: Transaction) -> None:
            for key in passed_over:
                if tasks.count(change.connection, TaskKind.SHARD, key, TaskState.PENDING):
                    tasks.wake(change, TaskKind.SHARD, key)
                    return

        self._bench.changes.make(give_back)
