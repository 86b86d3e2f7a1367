"""Stewards: they lead a request to a content key, cut the build into shards, and pack the archive.

Each works on one ticket of the builds queue at a time. A ticket is a hint: the task is claimed in
the catalog, and every result is written under the claim's fence.
"""

from __future__ import annotations

import json
import logging
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
from datamill_builder.catalog.lifecycle import ArchiveResult, Failure, PlannedShard
from datamill_builder.catalog.states import ACTIVE_BUILDS, BuildState, TaskKind
from datamill_builder.catalog.tasks import Claim, StaleFence
from datamill_builder.disk_space import DiskSpace, is_full
from datamill_builder.eviction import make_room
from datamill_builder.handlers import answers
from datamill_builder.handlers.environments import EnvironmentFailed, Environments
from datamill_builder.handlers.pool import HandlerPool, OpenHandler, Opening
from datamill_builder.handlers.process import HandlerDied, HandlerFailed, HandlerStopped
from datamill_builder.handlers.sources import UnknownRelease
from datamill_builder.handlers.tools import SourceUnavailable
from datamill_builder.handlers.wheels import BadWheel, file_sha256
from datamill_builder.installers import Installers, NoTurn, Task
from datamill_builder.leases import Leases
from datamill_builder.leftovers import drop_packed_shards
from datamill_builder.packing import DamagedShards, TooManyBadItems, pack
from datamill_builder.planning import cut_all
from datamill_builder.raw import RawVersion, UnknownDataset, raw_version
from datamill_builder.recipe import Recipe
from datamill_builder.store import Store

log = logging.getLogger(__name__)

INSTALLERS = 12
"""How many environments are made at a time: fewer than there are stewards, so that some are left
for what needs none."""


class RawDataChanged(DatamillError):
    """The raw data changed while the dataset was built from it; ask again to build it anew."""


class Steward:
    """Resolves, plans and packs. Its methods are called by several threads."""

    def __init__(
        self,
        owner: str,
        settings: Settings,
        catalog: Catalog,
        changes: PatientChanges,
        store: Store,
        space: DiskSpace,
        environments: Environments,
        handlers: HandlerPool,
        leases: Leases,
        address: PublicAddress,
    ) -> None:
        self._owner = owner
        self._settings = settings
        self._catalog = catalog
        self._changes = changes
        self._store = store
        self._space = space
        self._environments = environments
        self._handlers = handlers
        self._leases = leases
        self._address = address
        self._installers = Installers(INSTALLERS, self._wake)

    def work(self, delivery: Delivery) -> None:
        """Do what a ticket hints at, if nobody else does."""
        try:
            ticket = json.loads(delivery.body)
            kind, subject = TaskKind(ticket["task"]), str(ticket["subject"])
        except (ValueError, KeyError, TypeError):
            log.warning("a ticket could not be read: %r", delivery.body[:200])
            return
        if not self._may_begin(kind):
            return  # the task is in the catalog; the reconciler brings it up again
        try:
            self._do(kind, subject)
        except CatalogUnavailable as error:
            # The builder stops before anything can be written: the lease runs out.
            log.warning("%s: %s: %s", subject[:12], kind, error)

    def _may_begin(self, kind: TaskKind) -> bool:
        """Return whether there may be room on the disk; packers wait for it, others don't.

        One thread that waits is one that resolves and plans for nobody else.
        """
        if kind is TaskKind.PACK:
            return self._space.wait(kind)
        return not self._space.holds_back(kind)

    def _do(self, kind: TaskKind, subject: str) -> None:
        claim = self._changes.make(
            lambda change: tasks.claim(change, kind, subject, 0, self._owner)
        )
        if claim is None:
            return
        step = {
            TaskKind.RESOLVE: self._resolve,
            TaskKind.PLAN: self._plan,
            TaskKind.PACK: self._pack,
        }
        try:
            with self._leases.hold(claim, on_lost=lambda: None):
                step[kind](claim)
            self._space.found_room(kind)
        except StaleFence:
            log.info("%s: %s was given to another owner", subject[:12], kind)
        except HandlerStopped:
            self._hand_back(claim)
        except NoTurn:
            self._put_aside(claim)
        except (OSError, DatamillError) as error:
            self._went_wrong(claim, error)
        except Exception:
            log.exception("%s: %s failed in a way that was not foreseen", subject[:12], kind)
            self._fail(
                claim, Failure(Reason.INTERNAL, f"{kind} failed; see the builder's log", True)
            )

    def _went_wrong(self, claim: Claim, error: OSError | DatamillError) -> None:
        if is_full(error):
            self._space.found_full(claim.kind, error)
            self._hand_back(claim, tasks.NO_SPACE + first_line(error))
        elif isinstance(error, CatalogUnavailable):
            log.warning("%s: %s: %s", claim.subject[:12], claim.kind, error)
            self._hand_back(claim)
        elif isinstance(error, HandlerDied | OSError):
            self._try_again(claim, error)
        else:
            self._fail(claim, _failure(error))

    def _hand_back(self, claim: Claim, error: str | None = None) -> None:
        try:
            self._changes.make(lambda change: tasks.hand_back(change, claim, error))
        except StaleFence:
            log.info("%s: %s is not wanted any more", claim.subject[:12], claim.kind)

    def _put_aside(self, claim: Claim) -> None:
        """Wait for a turn at making an environment, without keeping a thread from other work."""
        try:
            self._changes.make(lambda change: tasks.put_aside(change, claim))
        except StaleFence:
            log.info("%s: %s is not wanted any more", claim.subject[:12], claim.kind)
        else:
            self._installers.line_up((claim.kind, claim.subject))

    def _wake(self, task: Task) -> None:
        try:
            with self._catalog.write() as change:
                tasks.wake(change, *task)
        except CatalogUnavailable as error:
            log.warning("%s: %s is not called yet: %s", task[1][:12], task[0], error)

    def _try_again(self, claim: Claim, error: HandlerDied | OSError) -> None:
        if claim.attempts >= self._settings.shard_attempts:
            self._fail(claim, _attempts_are_used_up(claim, error))
            return
        log.warning("%s: %s: %s; trying again", claim.subject[:12], claim.kind, error)
        try:
            self._changes.make(lambda change: tasks.try_again(change, claim, str(error)))
        except StaleFence:
            log.info("%s: %s was given to another owner", claim.subject[:12], claim.kind)

    def _fail(self, claim: Claim, failure: Failure) -> None:
        log.warning(
            "%s: %s failed: %s: %s", claim.subject[:12], claim.kind, failure.reason, failure.message
        )

        def end(change: Transaction) -> None:
            if claim.kind is TaskKind.RESOLVE:
                lifecycle.resolve_failed(change, claim, failure)
            else:
                lifecycle.work_failed(change, claim, failure)

        try:
            self._changes.make(end)
        except StaleFence:
            log.info("%s: %s was given to another owner", claim.subject[:12], claim.kind)

    # --- resolve ---

    def _resolve(self, claim: Claim) -> None:
        with self._catalog.read() as connection:
            row = lifecycle.find_dataset(connection, claim.subject)
        assert row is not None
        recipe, version = self._recipe(
            row.dataset_name, row.handler_version, json.loads(row.config)
        )
        key = recipe.content_key
        self._check_archive(key)
        failpoint("resolve.known")
        with self._catalog.write() as change:
            build = lifecycle.resolved(change, claim, key, recipe.model_dump(), version.marks)
            # In the same change: nobody may be left with a build that has ended.
            if build.state == BuildState.READY and self._is_whole(build):
                lifecycle.answer_ready(change, claim.subject, build, self._address())
            elif build.state not in ACTIVE_BUILDS:
                self._restart(change, key)
        log.info("%s: is content %s, %s", claim.subject[:12], key[:12], build.state)
        if build.state == BuildState.PLANNING:
            self._do(TaskKind.PLAN, key)

    def _recipe(self, name: str, version: str, config: dict[str, Any]) -> tuple[Recipe, RawVersion]:
        configured = self._settings.datasets.get(name)
        handler = (configured and configured.handler) or name
        raw_root = self._settings.raw_folder
        there = self._environments.is_there(handler, version)
        with self._installers.turn(needed=not there):
            try:
                environment = self._environments.resolve(handler, version)
            except UnknownRelease as error:
                if configured is None and not error.declared and not (raw_root / name).is_dir():
                    raise UnknownDataset(_unknown(name, raw_root)) from error
                raise
            opening = Opening(environment, name, config, configured.raw if configured else None)
            with self._handlers.lend(opening) as opened:
                info = opened.info
        raw = raw_version(self._catalog, raw_root / info["raw"], self._settings.raw_digest)
        recipe = Recipe(
            dataset_name=name,
            config=info["config"],
            mode=info["mode"],
            records_per_shard=info["records_per_shard"],
            raw=info["raw"],
            raw_version=raw.digest,
            handler=environment.handler,
            package=environment.package,
            package_version=environment.package_version,
            entry_point=environment.entry_point,
            wheel=environment.wheel,
            wheel_sha256=environment.wheel_sha256,
            origin=environment.origin,
            lock=environment.lock,
        )
        return recipe, raw

    def _check_archive(self, content_key: str) -> None:
        """Look at every byte of an archive that is there; take one that is damaged away."""
        with self._catalog.read() as connection:
            build = lifecycle.find_build(connection, content_key)
        if build is None or build.state != BuildState.READY:
            return
        mark = self._store.archive_mark(build.archive)
        if mark == build.archive_mark:
            return  # looked at before, and untouched since
        if mark is None:
            log.error("%s is gone", build.archive)
        elif file_sha256(self._store.archive_path(build.archive)) == build.sha256:
            with self._catalog.write() as change:
                lifecycle.mark_archive(change, build, mark)
        elif self._store.archive_mark(build.archive) == mark:
            log.error("%s is damaged", build.archive)
            self._store.quarantine_archive(build.archive)

    def _is_whole(self, build: Any) -> bool:
        mark = self._store.archive_mark(build.archive)
        return mark is not None and mark == build.archive_mark

    def _restart(self, change: Transaction, content_key: str) -> None:
        gone = [
            shard.number
            for shard in lifecycle.find_shards(change.connection, content_key)
            if shard.sha256 and not self._has_file(content_key, shard.file)
        ]
        lifecycle.forget_shards(change, content_key, gone)
        lifecycle.build_again(change, content_key)

    def _has_file(self, content_key: str, file: str | None) -> bool:
        return file is not None and self._store.shard_path(content_key, file).exists()

    # --- plan ---

    def _plan(self, claim: Claim) -> None:
        recipe = self._load_recipe(claim.subject)
        opening = Opening(recipe.environment, recipe.dataset_name, recipe.config, recipe.raw)
        made = self._environments.is_made(recipe.environment)
        with self._installers.turn(needed=not made), self._handlers.lend(opening) as opened:
            if recipe.mode == "classic":
                self._plan_classic(claim)
            else:
                self._plan_sharded(claim, recipe, opened)

    def _plan_classic(self, claim: Claim) -> None:
        whole = [PlannedShard("train", 0, 0)]
        with self._catalog.write() as change:
            lifecycle.plan_done(change, claim, None, 0, 0, whole)

    def _plan_sharded(self, claim: Claim, recipe: Recipe, opened: OpenHandler) -> None:
        key = claim.subject
        features = answers.features(opened.process.call("features"))
        with self._store.scratch() as folder:
            counts = answers.plan(
                opened.process.call(
                    "plan",
                    content_key=key,
                    folder=str(folder),
                    timeout_secs=self._settings.handler_timeout_secs,
                )
            )
            planned = cut_all(folder, counts, recipe.records_per_shard)
            items = sum(split["items"] for split in counts.values())
            records = sum(split["records"] for split in counts.values())

            def commit(change: Transaction) -> None:
                lifecycle.plan_done(change, claim, features, items, records, planned)
                # In the same change: a stale planner moves nothing to where others look.
                for split in counts:
                    self._store.keep_plan(folder / f"{split}.jsonl", key, split)
                failpoint("plan.kept")

            self._changes.make(commit)
        log.info("%s: %d source items, %d shards", key[:12], items, len(planned))

    # --- pack ---

    def _pack(self, claim: Claim) -> None:
        key = claim.subject
        with self._catalog.read() as connection:
            build = lifecycle.find_build(connection, key)
            rows = lifecycle.find_shards(connection, key)
        recipe = self._load_recipe(key)
        self._check_raw_data(recipe)
        try:
            with self._store.scratch() as folder:
                archive, records = pack(self._store, folder, key, recipe, build, rows)
                self._publish(claim, folder, archive, records)
        except DamagedShards as damage:
            log.error("%s: %s", key[:12], damage)
            indexes = damage.indexes
            self._changes.make(lambda change: lifecycle.pack_found_damage(change, claim, indexes))
            return
        failpoint("pack.committed")
        drop_packed_shards(self._catalog, self._store, key)
        make_room(self._catalog, self._store, self._settings.store_budget_bytes)
        log.info("%s: ready, %d records, %d bytes", key[:12], records, archive.bytes)

    def _is_packed(self, content_key: str, mark: str) -> bool:
        with self._catalog.read() as connection:
            build = lifecycle.find_build(connection, content_key)
        return build is not None and build.state == BuildState.READY and build.archive_mark == mark

    def _publish(self, claim: Claim, folder: Path, archive: ArchiveResult, records: int) -> None:
        def commit(change: Transaction) -> None:
            lifecycle.pack_done(change, claim, archive, records, self._address())
            # In the same change: a stale packer moves nothing to where others look.
            self._store.keep_archive(folder / archive.name, archive.name)
            failpoint("pack.renamed")

        try:
            self._changes.make(commit)
        except StaleFence:
            if not self._is_packed(claim.subject, archive.mark):
                raise  # otherwise the catalog went away just when it had said so

    def _check_raw_data(self, recipe: Recipe) -> None:
        """Raise if the records may come from other raw data than the content key says."""
        folder = recipe.raw_folder(self._settings.raw_folder)
        now = raw_version(self._catalog, folder, self._settings.raw_digest)
        if now.digest != recipe.raw_version:
            raise RawDataChanged

    def _load_recipe(self, content_key: str) -> Recipe:
        with self._catalog.read() as connection:
            build = lifecycle.find_build(connection, content_key)
        assert build is not None
        return Recipe.model_validate_json(build.recipe)


def _unknown(name: str, raw_root: Path) -> str:
    there = sorted(f.name for f in raw_root.iterdir() if f.is_dir()) if raw_root.is_dir() else []
    listed = ", ".join(there[:20]) or "nothing"
    return f"no handler and no raw data are called {name}; in the raw root there is: {listed}"


def _attempts_are_used_up(claim: Claim, error: HandlerDied | OSError) -> Failure:
    times = f"({claim.attempts} times)"
    if isinstance(error, HandlerDied):
        return Failure(Reason.HANDLER_ERROR, f"{error.with_cause()} {times}", retryable=True)
    return Failure(Reason.INTERNAL, f"{error} {times}", retryable=True)


def _failure(error: DatamillError) -> Failure:
    message = str(error)
    match error:
        case RawDataChanged():
            return Failure(Reason.BAD_DATA, message, retryable=True)
        case HandlerFailed(reason=reason):
            return Failure(reason, error.with_cause(), retryable=reason is Reason.TIMEOUT)
        case UnknownDataset():
            return Failure(Reason.UNKNOWN_DATASET, message)
        case UnknownRelease() | BadWheel():
            return Failure(Reason.UNKNOWN_HANDLER, message)
        case SourceUnavailable():
            return Failure(Reason.UNKNOWN_HANDLER, message, retryable=True)
        case EnvironmentFailed():
            return Failure(Reason.HANDLER_ERROR, message, retryable=True)
        case TooManyBadItems():
            return Failure(Reason.BAD_DATA, message)
    return Failure(Reason.INTERNAL, message, retryable=True)
