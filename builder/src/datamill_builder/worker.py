"""Shard workers: claim a shard, have the handler write it, commit it."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from datamill import tracing
from datamill.broker import Delivery
from datamill.events import Reason
from datamill.failpoint import failpoint
from datamill_builder.assembler import Assembler
from datamill_builder.attempts import Attempts
from datamill_builder.catalog import CatalogUnavailable, Transaction, counted, lifecycle
from datamill_builder.catalog.lifecycle import Failure, ShardResult, storable
from datamill_builder.catalog.named import task_named
from datamill_builder.catalog.states import TaskKind
from datamill_builder.catalog.tasks import Claim, StaleFence
from datamill_builder.classic import write_classic
from datamill_builder.disk_space import DiskSpace
from datamill_builder.handlers import answers
from datamill_builder.handlers.pool import OpenHandler
from datamill_builder.handlers.process import HandlerProcess
from datamill_builder.packing import TooManyBadItems, check_bad_share
from datamill_builder.places import Place, Places
from datamill_builder.progress import ProgressTeller
from datamill_builder.recipe import Recipe
from datamill_builder.shard_claims import ShardClaims
from datamill_builder.shard_file import ShardFile
from datamill_builder.slices import read_slice
from datamill_builder.store import sync
from datamill_builder.workbench import Workbench, opening_of

log = logging.getLogger(__name__)


class ShardWorker:
    """Makes shards; for several threads, more than there are places for handlers to compute."""

    def __init__(
        self,
        claims: ShardClaims,
        bench: Workbench,
        attempts: Attempts,
        space: DiskSpace,
        places: Places,
        assembler: Assembler,
        progress: ProgressTeller,
    ) -> None:
        self._claims = claims
        self._bench = bench
        self._attempts = attempts
        self._space = space
        self._places = places
        self._assembler = assembler
        self._progress = progress

    def work(self, _delivery: Delivery) -> None:
        """Make the shard whose turn it is, whichever the ticket was written for."""
        if not self._space.wait(TaskKind.SHARD):
            return  # the builder stops; the task is in the catalog
        try:
            with self._places.one() as place:
                if place is not None:
                    self._work(place)
        except CatalogUnavailable as error:
            log.warning("shards wait: %s", error)

    def _work(self, place: Place) -> None:
        claim = self._claims.take()
        if claim is None:
            return
        run = _Run(place)
        try:
            self._attempts.carry_out(claim, lambda mine: self._make(mine, run), on_lost=run.stop)
        except CatalogUnavailable as error:
            # The builder stops before anything can be written: the lease runs out.
            named = task_named(claim.kind, claim.subject)
            log.warning("%s is left as it is: %s", claim, error, extra=named)
            return
        finally:
            self._progress.forget(claim.subject, claim.index)
        place.leave()
        with self._attempts.work_for(claim):
            self._claims.make_missing(claim.subject)

    def _make(self, claim: Claim, run: _Run) -> None:
        key = claim.subject
        with self._bench.catalog.read() as connection:
            build = lifecycle.find_build(connection, key)
            shard = lifecycle.find_shard(connection, key, claim.index)
        assert build is not None and shard is not None
        recipe = Recipe.model_validate_json(build.recipe)
        self._claims.demand(key, recipe.environment)
        began = time.monotonic()
        with self._bench.store.scratch() as folder:
            if recipe.mode == "classic":
                with self._handler(recipe, run) as opened:
                    self._commit_classic(claim, opened, folder, began)
            else:
                temporary = folder / "shard.tfrecord"
                items = read_slice(self._bench.store.plan_path(key, shard.split), shard)
                with self._handler(recipe, run) as opened:
                    answer = self._written(claim, opened, items, temporary)
                with ThreadPoolExecutor(1, thread_name_prefix="sync") as syncing:
                    synced = syncing.submit(sync, temporary)  # while it is read
                    shard_file, skipped = answers.written(answer, temporary, items)
                    synced.result()
                file = self._commit_shard(
                    claim, recipe, build, temporary, shard_file, skipped, began
                )
                self._assembler.committed(key, claim.index, file, shard_file)

    @contextmanager
    def _handler(self, recipe: Recipe, run: _Run) -> Iterator[OpenHandler]:
        """Lend a handler, and with it the place where it computes."""
        with self._bench.handlers.lend(opening_of(recipe), run.started) as opened:
            try:
                yield opened
            finally:
                run.done()

    def _written(
        self, claim: Claim, opened: OpenHandler, items: list[dict[str, Any]], path: Path
    ) -> Any:
        """Have the handler write a shard, and return its answer."""
        key, index = claim.subject, claim.index
        return opened.process.call(
            "shard",
            content_key=key,
            items=items,
            path=str(path),
            timeout_secs=self._bench.settings.shard_timeout_secs,
            on_progress=lambda records: self._progress.note(key, index, records),
        )

    def _commit_shard(
        self,
        claim: Claim,
        recipe: Recipe,
        build: Any,
        temporary: Path,
        found: ShardFile,
        skipped: list[answers.Skipped],
        began: float,
    ) -> str:
        """Commit a shard; return the name of its file."""
        key, index = claim.subject, claim.index
        failpoint("shard.written")
        file = self._bench.store.keep_shard(temporary, key, index, claim.fence)
        secs = time.monotonic() - began
        items = [{"key": storable(item.key), "reason": storable(item.reason)} for item in skipped]
        result = ShardResult(file, found.records, found.bytes, found.sha256, items, secs)

        address = self._bench.address()  # not inside the change: it may have to read the catalog

        def commit(change: Transaction) -> None:
            lifecycle.shard_done(change, claim, result, address)
            if result.skipped:
                self._end_if_too_bad(change, recipe, build)

        failpoint("shard.kept")
        self._commit(claim, [file], commit)
        failpoint("shard.committed")
        log.debug("%s.%d: %d records in %.2f s", key[:12], index, result.records, secs)
        self._count([result])
        return file

    def _count(self, results: list[ShardResult]) -> None:
        """Count what a piece of work has made, once it is committed."""
        count = self._bench.counters
        count.observe(counted.SHARD_SECS, results[-1].secs)
        for result in results:
            count.add(counted.RECORDS, result.records)
            count.add(counted.SHARD_BYTES, result.bytes)
            count.add(counted.ITEMS_SKIPPED, len(result.skipped))
        tracing.annotate(records=sum(result.records for result in results))

    def _end_if_too_bad(self, change: Transaction, recipe: Recipe, build: Any) -> None:
        """Fail the build as soon as too many source items are bad, under the shard's fence."""
        key = build.content_key
        try:
            bad = lifecycle.skipping_shards(change.connection, key)
            check_bad_share(recipe, build.items, bad)
        except TooManyBadItems as error:
            log.warning("%s: %s", key[:12], error)
            lifecycle.build_failed(change, key, Failure(Reason.BAD_DATA, str(error)))
            self._bench.counters.add(counted.FAILURES, 1, Reason.BAD_DATA)

    def _commit_classic(
        self, claim: Claim, opened: OpenHandler, folder: Path, began: float
    ) -> None:
        results, features = write_classic(
            self._bench.store, claim, opened, folder, self._bench.settings, began
        )
        address = self._bench.address()
        self._commit(
            claim,
            [result.file for result in results],
            lambda change: lifecycle.classic_done(change, claim, results, features, address),
        )
        self._count(results)

    def _commit(self, claim: Claim, files: list[str], change_it: Callable[[Any], None]) -> None:
        try:
            self._bench.changes.make(change_it)
        except StaleFence:
            if self._is_committed(claim, files[0]):
                return  # the catalog went away just when it had said so
            for file in files:
                self._bench.store.drop_shard(claim.subject, file)
            raise

    def _is_committed(self, claim: Claim, file: str) -> bool:
        with self._bench.catalog.read() as connection:
            shard = lifecycle.find_shard(connection, claim.subject, claim.index)
        return shard is not None and shard.file == file


class _Run:
    """The handler process of one piece of work, so that another thread can end it."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._lock = threading.Lock()
        self._process: HandlerProcess | None = None
        self._stopped = False

    def started(self, process: HandlerProcess) -> None:
        with self._lock:
            self._process = process
            if self._stopped:
                process.stop()

    def done(self) -> None:
        """Leave the process alone from now on, and its place: it may be lent for other work."""
        with self._lock:
            self._process = None
        self._place.leave()

    def stop(self) -> None:
        with self._lock:
            self._stopped = True
            if self._process is not None:
                self._process.stop()
