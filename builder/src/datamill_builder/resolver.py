"""From a request to a content key: handler release, environment, config, raw data version."""

from __future__ import annotations

import json
import logging
from typing import Any

from datamill.failpoint import failpoint
from datamill.logs import CONTENT_KEY
from datamill_builder.catalog import Transaction, counted, lifecycle
from datamill_builder.catalog.states import ACTIVE_BUILDS, BuildState
from datamill_builder.catalog.tasks import Claim
from datamill_builder.dataset_name import environment_of, handler_of, raw_of
from datamill_builder.handlers.environments import Environment, Environments
from datamill_builder.handlers.pool import Opening
from datamill_builder.handlers.wheels import file_sha256
from datamill_builder.installers import Installers
from datamill_builder.raw import RawVersion, raw_version
from datamill_builder.recipe import Recipe
from datamill_builder.workbench import Workbench

log = logging.getLogger(__name__)


class Resolver:
    """Makes dataset ids aliases of builds, and begins builds; for any thread."""

    def __init__(
        self, bench: Workbench, environments: Environments, installers: Installers
    ) -> None:
        self._bench = bench
        self._store = bench.store
        self._environments = environments
        self._installers = installers

    def resolve(self, claim: Claim) -> list[str]:
        """Find out what a dataset id means; return its content key if that is to be planned.

        Raises `NoTurn` where its environment has to be made and as many are being made as may be.
        """
        with self._bench.catalog.read() as connection:
            row = lifecycle.find_dataset(connection, claim.subject)
        assert row is not None
        recipe, version = self.recipe(row.dataset_name, row.handler_version, json.loads(row.config))
        key = recipe.content_key
        self._check_archive(key)
        failpoint("resolve.known")
        address = self._bench.address()  # not inside the change: it may have to read the catalog
        with self._bench.catalog.write() as change:
            known = lifecycle.find_build(change.connection, key)
            build = lifecycle.resolved(change, claim, key, recipe.model_dump(), version.marks)
            # In the same change: nobody may be left with a build that has ended.
            if build.state == BuildState.READY and self._is_whole(build):
                lifecycle.answer_resolved(change, claim.subject, build, address)
            elif build.state not in ACTIVE_BUILDS:
                self._restart(change, key)
        if known is not None:
            self._count_merged(build)
        words = (claim.subject[:12], key[:12], build.state)
        log.info("%s: is content %s, %s", *words, extra={CONTENT_KEY: key})
        return [key] if build.state == BuildState.PLANNING else []

    def _count_merged(self, build: Any) -> None:
        """Count that what was asked for is what a build makes that others have begun, or made."""
        found = "running" if build.state in ACTIVE_BUILDS else build.state
        if found in counted.BUILDS_MERGED.known:
            self._bench.counters.add(counted.BUILDS_MERGED, 1, found)

    def recipe(self, name: str, version: str, config: dict[str, Any]) -> tuple[Recipe, RawVersion]:
        """Return all that a dataset would be made from, as of now."""
        settings = self._bench.settings
        environment, info = self._opened(name, version, config)
        folder = settings.raw_folder / info["raw"]
        raw = raw_version(self._bench.catalog, folder, settings.raw_digest)
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

    def _opened(
        self, name: str, version: str, config: dict[str, Any]
    ) -> tuple[Environment, dict[str, Any]]:
        """Return the environment, and what the handler says of its config."""
        settings = self._bench.settings
        handler = handler_of(name, settings)
        there = self._environments.is_there(handler, version)
        with self._installers.turn(f"{handler} {version}", needed=not there):
            environment = environment_of(name, version, settings, self._environments)
            opening = Opening(environment, name, config, raw_of(name, settings))
            with self._bench.handlers.lend(opening) as opened:
                return environment, opened.info

    def _check_archive(self, content_key: str) -> None:
        """Look at every byte of an archive that is there; take one that is damaged away."""
        with self._bench.catalog.read() as connection:
            build = lifecycle.find_build(connection, content_key)
        if build is None or build.state != BuildState.READY:
            return
        mark = self._store.archive_mark(build.archive)
        if mark == build.archive_mark:
            return  # looked at before, and untouched since
        if mark is None:
            log.error("%s is gone", build.archive, extra={CONTENT_KEY: content_key})
        elif file_sha256(self._store.archive_path(build.archive)) == build.sha256:
            with self._bench.catalog.write() as change:
                lifecycle.mark_archive(change, build, mark)
        elif self._store.archive_mark(build.archive) == mark:
            log.error("%s is damaged", build.archive, extra={CONTENT_KEY: content_key})
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
