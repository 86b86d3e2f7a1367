"""The assembler: archives grow while their shards are made, so that little is left in the end.

What it does only saves time. It is per builder: an archive of which another builder made the first
shard, or packs the last, is packed as if nothing had been there; so is one that failed to grow.
"""

from __future__ import annotations

import logging
import threading
from dataclasses import dataclass, field

from datamill.errors import DatamillError
from datamill_builder.catalog import Catalog, lifecycle
from datamill_builder.catalog.about import about_build
from datamill_builder.catalog.states import BuildState
from datamill_builder.disk_space import DiskSpace
from datamill_builder.growing_archive import GrowingArchive
from datamill_builder.recipe import Recipe
from datamill_builder.shard_file import ShardFile
from datamill_builder.store import Store

log = logging.getLogger(__name__)

MOST = 4
"""How many archives grow at a time; the one that grew longest ago is given up for another."""
_WANTED = (BuildState.BUILDING, BuildState.PACKING)
_LOOK_SECS = 5.0
"""How often it is looked at whether the others are still wanted, and whether there is room."""


@dataclass
class _Growth:
    """What there is of one build: `shards` are those that wait for the ones before."""

    shards: dict[int, tuple[str, ShardFile]] = field(default_factory=dict)
    next: int = 0
    archive: GrowingArchive | None = None


class Assembler(threading.Thread):
    """Copies shards into archives as they are committed; `committed` and `take` by any thread."""

    def __init__(self, catalog: Catalog, store: Store, space: DiskSpace) -> None:
        super().__init__(name="assembler", daemon=True)
        self._catalog = catalog
        self._store = store
        self._space = space
        self._growths: dict[str, _Growth] = {}
        """Of each content key; the one that something came for last is the last."""
        self._in_hand: str | None = None
        self._stopped = False
        self._changed = threading.Condition()

    def committed(self, content_key: str, number: int, file: str, shard: ShardFile) -> None:
        """Take note of a shard that this builder has made."""
        with self._changed:
            growth = self._growths.pop(content_key, None) or _Growth()
            self._growths[content_key] = growth
            begun = growth.next + (self._in_hand == content_key)
            if number < begun:  # the build was begun anew
                self._changed.wait_for(lambda: self._in_hand != content_key)
                self._drop(content_key)
                growth = self._growths[content_key] = _Growth()
            growth.shards[number] = (file, shard)
            for key in list(self._growths)[:-MOST]:
                self._drop(key)
            self._changed.notify_all()

    def take(self, content_key: str) -> GrowingArchive | None:
        """Return the archive of a build as far as it is; it does not grow any more here."""
        with self._changed:
            self._changed.wait_for(lambda: self._in_hand != content_key)
            growth = self._growths.pop(content_key, None)
        return growth.archive if growth else None

    def grown(self, content_key: str) -> int | None:
        """Return how many shards are in the archive of a build; None where it does not grow."""
        with self._changed:
            growth = self._growths.get(content_key)
            return growth.next if growth else None

    def stop(self) -> None:
        """Begin nothing more."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()

    def run(self) -> None:
        """Grow what can grow, until stopped."""
        while True:
            with self._changed:
                self._changed.wait_for(
                    lambda: self._stopped or self._ripe(), _LOOK_SECS if self._growths else None
                )
                if self._stopped:
                    break
                key = self._in_hand = self._ripe()
            if key is None:
                self._look_round()
            else:
                self._grow(key, self._growths[key])
        with self._changed:
            for key in list(self._growths):
                self._drop(key)

    def _ripe(self) -> str | None:
        """Return a build of which the next shard is there."""
        return next(
            (k for k, growth in self._growths.items() if growth.next in growth.shards), None
        )

    def _grow(self, key: str, growth: _Growth) -> None:
        file, shard = growth.shards.pop(growth.next)
        try:
            if growth.archive is None:
                growth.archive = self._begin(key)
            growth.archive.add_known(file, shard)
            growth.next += 1
        except (OSError, DatamillError) as error:
            with about_build(self._catalog, key):
                log.info("%s: its archive does not grow beside its shards: %s", key[:12], error)
            failed = True
        else:
            failed = False
        with self._changed:
            self._in_hand = None
            if failed:
                self._drop(key)
            self._changed.notify_all()

    def _look_round(self) -> None:
        """Give up archives that nobody will pack, and all where others need the room."""
        keys = list(self._growths)
        if not self._space.is_short:
            try:
                with self._catalog.read() as connection:
                    found = [lifecycle.find_build(connection, key) for key in keys]
            except DatamillError as error:
                log.warning("whether archives are still wanted is not known: %s", error)
                return
            wanted = {b.content_key for b in found if b is not None and b.state in _WANTED}
            keys = [key for key in keys if key not in wanted]
        with self._changed:
            for key in keys:
                self._drop(key)

    def _drop(self, key: str) -> None:
        """Give up a build's archive, if it is not being written to."""
        if key == self._in_hand or key not in self._growths:
            return
        archive = self._growths.pop(key).archive
        if archive is not None:
            archive.close()

    def _begin(self, key: str) -> GrowingArchive:
        with self._catalog.read() as connection:
            build = lifecycle.find_build(connection, key)
            shards = lifecycle.find_shards(connection, key)
        assert build is not None
        recipe = Recipe.model_validate_json(build.recipe)
        return GrowingArchive(self._store, key, recipe, build, shards)
