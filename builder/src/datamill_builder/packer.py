"""From shards to the archive that everybody can fetch."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from datamill import tracing
from datamill.failpoint import failpoint
from datamill_builder.assembler import Assembler
from datamill_builder.catalog import CatalogUnavailable, Transaction, counted, lifecycle
from datamill_builder.catalog.holdings import drop_packed_shards, make_room
from datamill_builder.catalog.lifecycle import ArchiveResult
from datamill_builder.catalog.states import BuildState
from datamill_builder.catalog.tasks import Claim, StaleFence
from datamill_builder.growing_archive import GrowingArchive
from datamill_builder.packing import DamagedShards, pack
from datamill_builder.raw import RawDataChanged, raw_version
from datamill_builder.recipe import Recipe
from datamill_builder.workbench import Workbench

log = logging.getLogger(__name__)


class Packer:
    """Packs and publishes archives; for any thread."""

    def __init__(self, bench: Workbench, assembler: Assembler) -> None:
        self._bench = bench
        self._assembler = assembler

    def pack(self, claim: Claim) -> None:
        """Pack the archive of a build whose shards are all there, and publish it."""
        key = claim.subject
        bench = self._bench
        with bench.catalog.read() as connection:
            build = lifecycle.find_build(connection, key)
            rows = lifecycle.find_shards(connection, key)
        recipe = bench.recipe(key)
        self._check_raw_data(recipe)
        try:
            with closing(self._begun(key, recipe, build, rows)) as growing:
                archive, records = pack(bench.store, growing, key, recipe, build, rows)
                self._publish(claim, growing.path, archive, records)
        except DamagedShards as damage:
            log.error("%s: %s", key[:12], damage)
            indexes = damage.indexes
            bench.changes.make(lambda change: lifecycle.pack_found_damage(change, claim, indexes))
            return
        failpoint("pack.committed")
        if build is not None and build.started_at is not None:
            secs = max(0.0, time.time() - build.started_at)
            bench.counters.observe(counted.BUILD_SECS, secs)
        tracing.annotate(records=records, bytes=archive.bytes)
        self._clear_up(key)
        make_room(bench.catalog, bench.store, bench.settings.store_budget_bytes)
        log.info("%s: ready, %d records, %d bytes", key[:12], records, archive.bytes)

    def _begun(self, key: str, recipe: Recipe, build: Any, shards: Sequence[Any]) -> GrowingArchive:
        """Return the archive as far as it has grown beside its shards, or a new one."""
        begun = self._assembler.take(key)
        if begun is not None:
            if begun.is_of(shards):
                return begun
            begun.close()
        return GrowingArchive(self._bench.store, key, recipe, build, shards)

    def _clear_up(self, content_key: str) -> None:
        try:
            drop_packed_shards(self._bench.catalog, self._bench.store, content_key)
        except (OSError, CatalogUnavailable) as error:
            log.warning("%s: its shards stay until the next start: %s", content_key[:12], error)

    def _publish(self, claim: Claim, path: Path, archive: ArchiveResult, records: int) -> None:
        bench = self._bench

        address = bench.address()  # not inside the change: it may have to read the catalog

        def commit(change: Transaction) -> None:
            lifecycle.pack_done(change, claim, archive, records, address)
            # In the same change: a stale packer moves nothing to where others look.
            bench.store.keep_archive(path, archive.name)
            failpoint("pack.renamed")

        try:
            bench.changes.make(commit)
        except StaleFence:
            if not self._is_packed(claim.subject, archive.mark):
                raise  # otherwise the catalog went away just when it had said so

    def _is_packed(self, content_key: str, mark: str) -> bool:
        with self._bench.catalog.read() as connection:
            build = lifecycle.find_build(connection, content_key)
        return build is not None and build.state == BuildState.READY and build.archive_mark == mark

    def _check_raw_data(self, recipe: Recipe) -> None:
        """Raise if the records may come from other raw data than the content key says."""
        settings = self._bench.settings
        folder = recipe.raw_folder(settings.raw_folder)
        if raw_version(self._bench.catalog, folder, settings.raw_digest).digest != (
            recipe.raw_version
        ):
            raise RawDataChanged
