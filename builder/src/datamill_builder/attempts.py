"""One attempt at a task, whatever comes of it: done, handed back, to be tried again, or failed."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

from datamill.errors import DatamillError, first_line
from datamill.events import Reason
from datamill_builder.asked_for import span_of
from datamill_builder.catalog import (
    CatalogUnavailable,
    PatientChanges,
    Transaction,
    counted,
    lifecycle,
    tasks,
)
from datamill_builder.catalog.counters import Counters
from datamill_builder.catalog.lifecycle import Failure
from datamill_builder.catalog.states import TaskKind
from datamill_builder.catalog.tasks import Claim, StaleFence
from datamill_builder.disk_space import DiskSpace, is_full
from datamill_builder.failures import attempts_used_up, failure_of
from datamill_builder.handlers.process import HandlerDied, HandlerFailed, HandlerStopped
from datamill_builder.leases import Leases

log = logging.getLogger(__name__)

_LOST_OWNERS = 10
"""How many builders may get lost over a piece of work, beside the attempts that are allowed."""


class PutOff(DatamillError):
    """The work is left to another builder, or for later."""


class Attempts:
    """Settles claimed tasks; for any thread. `most`: how often one is tried before it fails."""

    def __init__(
        self,
        changes: PatientChanges,
        leases: Leases,
        space: DiskSpace,
        most: int,
        work_for: Callable[[Claim], AbstractContextManager[object]] = nullcontext,
        counters: Counters | None = None,
    ) -> None:
        self._changes = changes
        self._leases = leases
        self._space = space
        self._most = most
        self.work_for = work_for
        """What a piece of work is done in, beside its lease."""
        self._counters = counters or Counters()

    def carry_out(
        self,
        claim: Claim,
        work: Callable[[Claim], None],
        on_lost: Callable[[], None] = lambda: None,
    ) -> None:
        """Do a claimed piece of work under its lease, and settle whatever goes wrong with it.

        `on_lost` is called, in another thread, if the lease was given to another owner.
        Raises `CatalogUnavailable` if the builder stops before that can be written.
        """
        with self.work_for(claim):
            self._carry_out(claim, work, on_lost)

    def _carry_out(
        self, claim: Claim, work: Callable[[Claim], None], on_lost: Callable[[], None]
    ) -> None:
        if claim.attempts > self._most + _LOST_OWNERS:
            self._give_up(claim)
            return
        try:
            with self._leases.hold(claim, on_lost), span_of(claim):
                work(claim)
            self._space.found_room(claim.kind)
        except StaleFence:
            log.info("%s was given to another owner", claim)
        except (HandlerStopped, PutOff):
            self.hand_back(claim)
        except (OSError, DatamillError) as error:
            self._went_wrong(claim, error)
        except Exception:
            log.exception("%s failed in a way that was not foreseen", claim)
            message = f"a {claim.kind} failed; see the builder's log"
            self.fail(claim, Failure(Reason.INTERNAL, message, retryable=True))

    def _give_up(self, claim: Claim) -> None:
        """Fail work that, it seems, takes its builder along each time."""
        message = f"a {claim.kind} was begun {claim.attempts} times and never came to an end"
        self.fail(claim, Failure(Reason.HANDLER_ERROR, message, retryable=True))

    def _went_wrong(self, claim: Claim, error: OSError | DatamillError) -> None:
        if is_full(error):
            self._space.found_full(claim.kind, error)
            self.hand_back(claim, tasks.NO_SPACE + first_line(error))
        elif isinstance(error, CatalogUnavailable):
            log.warning("%s: %s", claim, error)
            self.hand_back(claim)
        elif isinstance(error, HandlerDied | OSError):
            self.try_again(claim, error)
        else:
            if isinstance(error, HandlerFailed) and error.reason is Reason.HANDLER_ERROR:
                # Of a config that is refused, where the handler's code does so helps nobody.
                log.warning("%s: %s", claim, error.traceback.rstrip() or error)
            self.fail(claim, failure_of(error))

    def hand_back(self, claim: Claim, error: str | None = None) -> None:
        """Leave the work to whoever takes it; this attempt does not count."""
        if self._settle(claim, lambda change: tasks.hand_back(change, claim, error)):
            log.info("%s: handed back", claim)

    def put_aside(self, claim: Claim) -> bool:
        """Leave the work for later; return False if it is not wanted any more."""
        return self._settle(claim, lambda change: tasks.put_aside(change, claim))

    def try_again(self, claim: Claim, error: HandlerDied | OSError) -> None:
        """Count the attempt, and fail if it was the last."""
        if claim.attempts >= self._most:
            self.fail(claim, attempts_used_up(claim, error))
            return
        log.warning("%s: %s; trying again", claim, error)
        self._settle(claim, lambda change: tasks.try_again(change, claim, str(error)))

    def fail(self, claim: Claim, failure: Failure) -> None:
        """Tell those who wait that it will not come."""
        log.warning("%s: %s: %s", claim, failure.reason, failure.message)

        def end(change: Transaction) -> None:
            if claim.kind is TaskKind.RESOLVE:
                lifecycle.resolve_failed(change, claim, failure)
            else:
                lifecycle.work_failed(change, claim, failure)

        if self._settle(claim, end):
            self._counters.add(counted.FAILURES, 1, failure.reason)

    def _settle(self, claim: Claim, how: Callable[[Transaction], None]) -> bool:
        try:
            self._changes.make(how)
        except StaleFence:
            log.info("%s is not wanted any more, or was given to another owner", claim)
            return False
        return True
