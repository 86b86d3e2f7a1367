"""The scrubber: reads what lies in the store, for disks lose bits without a word.

An archive whose file looks untouched is served without a look at its bytes. Here each is read
once in a while, at a gentle pace, and the catalog keeps when: whoever is restarted goes on, and
those who share a store share the work. One that is damaged is taken out of the store.
"""

from __future__ import annotations

import logging
import threading
import time
from pathlib import Path
from typing import Any

from sqlalchemy import Row, or_, select

from datamill.errors import DatamillError
from datamill_builder.catalog import Catalog, lifecycle
from datamill_builder.catalog.about import about_build
from datamill_builder.catalog.schema import builds
from datamill_builder.catalog.states import BuildState
from datamill_builder.inspection.reading import read_archive
from datamill_builder.inspection.verdict import act_on, look
from datamill_builder.store import Store

log = logging.getLogger(__name__)

_BYTES_PER_SEC = 50e6
"""Disks serve downloads and builds first: so a terabyte takes about six hours."""
_LONGEST_REST_SECS = 60.0


class Scrubber(threading.Thread):
    """Compares each archive with its digest, once in `every_secs`; never where that is 0."""

    def __init__(self, catalog: Catalog, store: Store, every_secs: float) -> None:
        super().__init__(name="scrubber", daemon=True)
        self._catalog = catalog
        self._store = store
        self._every_secs = every_secs
        self._stopping = threading.Event()

    def run(self) -> None:
        """Look until stopped."""
        rest_secs = min(_LONGEST_REST_SECS, self._every_secs / 2) or None
        while not self._stopping.wait(rest_secs):
            try:
                self._round()
            except (DatamillError, OSError) as error:
                log.warning("archives could not be looked at: %s", error)

    def stop(self) -> None:
        """End the thread."""
        self._stopping.set()

    def _round(self) -> None:
        while not self._stopping.is_set():
            build = self._next()
            if build is None:
                return
            with self._catalog.write() as change:
                mine = lifecycle.scrubbed(change, build, time.time())
            if mine:  # else somebody who shares the store was faster
                self._look(build)

    def _next(self) -> Row[Any] | None:
        """Return the build whose archive was looked at longest ago; None if none is due."""
        at, now = builds.c.scrubbed_at, time.time()
        # In the future: the clock was set back since.
        due = or_(at.is_(None), at < now - self._every_secs, at > now)
        query = select(builds).where(builds.c.state == BuildState.READY, due)
        with self._catalog.read() as connection:
            return connection.execute(query.order_by(at.asc().nulls_first()).limit(1)).first()

    def _look(self, build: Row[Any]) -> None:
        with about_build(self._catalog, build.content_key):
            found = look(self._store, build, self._digest)
            act_on(self._catalog, self._store, build, found)

    def _digest(self, path: Path) -> str | None:
        """Return an archive's SHA-256; None if it can't be told, or the builder stops before."""
        try:
            return read_archive(path, (), self._pace).sha256
        except (_Stopping, FileNotFoundError):  # or evicted meanwhile
            return None
        except OSError as error:
            # Not the disk's fault: no descriptor left, no permission.
            log.error("%s can't be read: %s", path.name, error)
            return None

    def _pace(self, count: int) -> None:
        if self._stopping.wait(count / _BYTES_PER_SEC):
            raise _Stopping


class _Stopping(Exception):
    """The builder stops: what was begun is not read to its end."""
