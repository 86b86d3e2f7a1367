"""Shard workers: claim a shard, have the handler write it, commit it."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from datamill.broker import Delivery
from datamill.errors import DatamillError, first_line
from datamill.events import Reason
from datamill.failpoint import failpoint
from datamill.settings import Settings
from datamill_builder.address import PublicAddress
from datamill_builder.catalog import (
    Catalog,
    CatalogUnavailable,
    PatientChanges,
    Transaction,
    lifecycle,
    tasks,
)
from datamill_builder.catalog.lifecycle import Failure, ShardResult, storable
from datamill_builder.catalog.states import TaskKind
from datamill_builder.catalog.tasks import Claim, StaleFence
from datamill_builder.classic import write_classic
from datamill_builder.disk_space import DiskSpace, is_full
from datamill_builder.handlers import answers
from datamill_builder.handlers.pool import HandlerPool, OpenHandler, Opening
from datamill_builder.handlers.process import (
    HandlerDied,
    HandlerFailed,
    HandlerProcess,
    HandlerStopped,
)
from datamill_builder.leases import Leases
from datamill_builder.packing import TooManyBadItems, check_bad_share
from datamill_builder.progress import ProgressTeller
from datamill_builder.recipe import Recipe
from datamill_builder.slices import read_slice
from datamill_builder.store import Store

log = logging.getLogger(__name__)

_LOST_OWNERS = 10
"""How many builders may get lost over a shard, beside the attempts that are allowed."""


class ShardWorker:
    """Makes shards. Its methods are called by as many threads as there are worker processes."""

    def __init__(
        self,
        owner: str,
        settings: Settings,
        catalog: Catalog,
        changes: PatientChanges,
        store: Store,
        space: DiskSpace,
        handlers: HandlerPool,
        leases: Leases,
        progress: ProgressTeller,
        address: PublicAddress,
    ) -> None:
        self._owner = owner
        self._settings = settings
        self._catalog = catalog
        self._changes = changes
        self._store = store
        self._space = space
        self._handlers = handlers
        self._leases = leases
        self._progress = progress
        self._address = address

    def work(self, _delivery: Delivery) -> None:
        """Make the shard whose turn it is, whichever the ticket was written for."""
        if not self._space.wait(TaskKind.SHARD):
            return  # the builder stops; the task is in the catalog
        try:
            self._work()
        except CatalogUnavailable as error:
            # The builder stops before anything can be written: the lease runs out.
            log.warning("a shard is left as it is: %s", error)

    def _work(self) -> None:
        claim = self._changes.make(lambda change: tasks.claim_fair_shard(change, self._owner))
        if claim is None:
            return
        if claim.attempts > self._settings.shard_attempts + _LOST_OWNERS:
            self._give_up(claim)
            return
        run = _Run()
        try:
            with self._leases.hold(claim, on_lost=run.stop):
                self._make(claim, run)
            self._space.found_room(claim.kind)
        except StaleFence:
            log.info("%s.%d: was given to another owner", claim.subject[:12], claim.index)
        except HandlerStopped:
            self._hand_back(claim)
        except (OSError, DatamillError) as error:
            self._went_wrong(claim, error)
        except Exception as error:
            log.exception(
                "%s.%d: failed in a way that was not foreseen", claim.subject[:12], claim.index
            )
            self._fail(
                claim,
                Failure(Reason.INTERNAL, "a shard failed; see the builder's log", True),
                error,
            )
        finally:
            self._progress.forget(claim.subject, claim.index)

    def _give_up(self, claim: Claim) -> None:
        """Fail a shard that, it seems, takes its builder along each time."""
        message = f"a shard was begun {claim.attempts} times and never came to an end"
        failure = Failure(Reason.HANDLER_ERROR, message, retryable=True)
        self._fail(claim, failure, HandlerDied(message))

    # --- one shard ---

    def _make(self, claim: Claim, run: _Run) -> None:
        key = claim.subject
        with self._catalog.read() as connection:
            build = lifecycle.find_build(connection, key)
            shard = lifecycle.find_shards(connection, key)[claim.index]
        assert build is not None
        recipe = Recipe.model_validate_json(build.recipe)
        opening = Opening(recipe.environment, recipe.dataset_name, recipe.config, recipe.raw)
        began = time.monotonic()
        with self._handlers.lend(opening, run.started) as opened, self._store.scratch() as folder:
            try:
                if recipe.mode == "classic":
                    self._commit_classic(claim, opened, folder, began)
                else:
                    self._commit_shard(claim, recipe, build, shard, opened, folder, began)
            finally:
                run.done()

    def _commit_shard(
        self,
        claim: Claim,
        recipe: Recipe,
        build: Any,
        shard: Any,
        opened: OpenHandler,
        folder: Path,
        began: float,
    ) -> None:
        key, index = claim.subject, claim.index
        temporary = folder / "shard.tfrecord"
        items = read_slice(self._store.plan_path(key, shard.split), shard)
        answer = opened.process.call(
            "shard",
            content_key=key,
            items=items,
            path=str(temporary),
            timeout_secs=self._settings.shard_timeout_secs,
            on_progress=lambda records: self._progress.note(key, index, records),
        )
        written = answers.written(answer, temporary, items)
        failpoint("shard.written")
        file = self._store.keep_shard(temporary, key, index, claim.fence)
        secs = time.monotonic() - began
        skipped = [
            {"key": storable(item.key), "reason": storable(item.reason)} for item in written.skipped
        ]
        result = ShardResult(file, written.records, written.bytes, written.sha256, skipped, secs)

        def commit(change: Transaction) -> None:
            lifecycle.shard_done(change, claim, result, self._address())
            if result.skipped:
                self._end_if_too_bad(change, recipe, build)

        failpoint("shard.kept")
        self._commit(key, [file], commit)
        failpoint("shard.committed")
        log.debug("%s.%d: %d records in %.2f s", key[:12], index, result.records, secs)

    def _end_if_too_bad(self, change: Transaction, recipe: Recipe, build: Any) -> None:
        """Fail the build as soon as too many source items are bad, under the shard's fence."""
        key = build.content_key
        try:
            check_bad_share(recipe, build.items, lifecycle.find_shards(change.connection, key))
        except TooManyBadItems as error:
            log.warning("%s: %s", key[:12], error)
            lifecycle.build_failed(change, key, Failure(Reason.BAD_DATA, str(error)))

    def _commit_classic(
        self, claim: Claim, opened: OpenHandler, folder: Path, began: float
    ) -> None:
        key = claim.subject
        results, features = write_classic(self._store, claim, opened, folder, self._settings, began)
        self._commit(
            key,
            [result.file for result in results],
            lambda change: lifecycle.classic_done(
                change, claim, results, features, self._address()
            ),
        )

    def _commit(self, key: str, files: list[str], change_it: Callable[[Any], None]) -> None:
        try:
            self._changes.make(change_it)
        except StaleFence:
            if self._is_committed(key, files[0]):
                return  # the catalog went away just when it had said so
            for file in files:
                self._store.drop_shard(key, file)
            raise

    def _is_committed(self, key: str, file: str) -> bool:
        with self._catalog.read() as connection:
            return any(shard.file == file for shard in lifecycle.find_shards(connection, key))

    # --- what went wrong ---

    def _went_wrong(self, claim: Claim, error: OSError | DatamillError) -> None:
        if is_full(error):
            self._space.found_full(claim.kind, error)
            self._hand_back(claim, tasks.NO_SPACE + first_line(error))
        elif isinstance(error, CatalogUnavailable):
            log.warning("%s.%d: %s", claim.subject[:12], claim.index, error)
            self._hand_back(claim)
        elif isinstance(error, HandlerDied | OSError):
            self._try_again(claim, error)
        else:
            self._fail(claim, _failure(error), error)

    def _hand_back(self, claim: Claim, error: str | None = None) -> None:
        try:
            self._changes.make(lambda change: tasks.hand_back(change, claim, error))
            log.info("%s.%d: handed back", claim.subject[:12], claim.index)
        except StaleFence:
            log.info("%s.%d: is not wanted any more", claim.subject[:12], claim.index)

    def _try_again(self, claim: Claim, error: HandlerDied | OSError) -> None:
        if claim.attempts >= self._settings.shard_attempts:
            message = f"{error} ({claim.attempts} times on the same shard)"
            died = isinstance(error, HandlerDied)
            reason = Reason.HANDLER_ERROR if died else Reason.INTERNAL
            self._fail(claim, Failure(reason, message, retryable=True), error)
            return
        log.warning("%s.%d: %s; trying again", claim.subject[:12], claim.index, error)
        try:
            self._changes.make(lambda change: tasks.try_again(change, claim, str(error)))
        except StaleFence:
            log.info("%s.%d: was given to another owner", claim.subject[:12], claim.index)

    def _fail(self, claim: Claim, failure: Failure, error: BaseException) -> None:
        log.warning(
            "%s.%d: %s: %s", claim.subject[:12], claim.index, failure.reason, failure.message
        )
        if isinstance(error, HandlerFailed) and error.traceback:
            log.warning("%s.%d: %s", claim.subject[:12], claim.index, error.traceback.rstrip())

        def end(change: Transaction) -> None:
            lifecycle.work_failed(change, claim, failure)

        try:
            self._changes.make(end)
        except StaleFence:
            log.info("%s.%d: was given to another owner", claim.subject[:12], claim.index)


class _Run:
    """The handler process of one piece of work, so that another thread can end it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: HandlerProcess | None = None
        self._stopped = False

    def started(self, process: HandlerProcess) -> None:
        with self._lock:
            self._process = process
            if self._stopped:
                process.stop()

    def done(self) -> None:
        """Leave the process alone from now on: it may be lent for other work."""
        with self._lock:
            self._process = None

    def stop(self) -> None:
        with self._lock:
            self._stopped = True
            if self._process is not None:
                self._process.stop()


def _failure(error: DatamillError) -> Failure:
    match error:
        case HandlerFailed(reason=reason):
            return Failure(reason, error.with_cause(), retryable=reason is Reason.TIMEOUT)
    return Failure(Reason.INTERNAL, str(error), retryable=True)
