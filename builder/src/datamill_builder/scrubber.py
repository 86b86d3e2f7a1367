"""The scrubber: reads what lies in the store, for disks lose bits without a word.

An archive whose file looks untouched is served without a look at its bytes. Here each is read
once in a while, at a gentle pace, and the catalog keeps when: whoever is restarted goes on, and
those who share a store share the work. One that is damaged is taken out of the store, and the loss
told as `evicted` is told: what was ready is no longer to be had, and asking again builds it again.
"""

from __future__ import annotations

import errno
import hashlib
import logging
import threading
import time
from typing import Any

from sqlalchemy import Row, or_, select

from datamill.errors import DatamillError
from datamill_builder.catalog import Catalog, lifecycle
from datamill_builder.catalog.schema import builds
from datamill_builder.catalog.states import BuildState
from datamill_builder.store import Store

log = logging.getLogger(__name__)

_BYTES_PER_SEC = 50e6
"""Disks serve downloads and builds first: so a terabyte takes about six hours."""
_CHUNK_BYTES = 1024 * 1024
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
        """Read an archive, and take it away if it is not what it was.

        One that was touched, or is gone, would be noticed when it is asked for; but that may be
        never, and till then it would be told to be there.
        """
        mark = self._store.archive_mark(build.archive)
        if mark is None:
            if self._store.is_there():  # the file is gone, and not the disk
                self._take_away(build)
            return
        digest = self._digest(build.archive)
        if digest is None or self._store.archive_mark(build.archive) != mark:
            return  # it can't be told, or is being replaced
        if digest != build.sha256:
            self._take_away(build)
        elif mark != build.archive_mark:
            with self._catalog.write() as change:
                lifecycle.mark_archive(change, build, mark)

    def _digest(self, name: str) -> str | None:
        """Return an archive's SHA-256; None if it can't be told, or the builder stops before.

        What a disk can't read is another digest than the one that was.
        """
        digest = hashlib.sha256()
        try:
            with self._store.archive_path(name).open("rb") as file:
                while chunk := file.read(_CHUNK_BYTES):
                    digest.update(chunk)
                    if self._stopping.wait(len(chunk) / _BYTES_PER_SEC):
                        return None
        except FileNotFoundError:
            return None  # evicted meanwhile
        except OSError as error:
            log.error("%s can't be read: %s", name, error)
            if error.errno != errno.EIO:
                return None  # not the disk's fault: no descriptor left, no permission
        return digest.hexdigest()

    def _take_away(self, build: Row[Any]) -> None:
        with self._catalog.write() as change:
            now = lifecycle.hold_build(change, build.content_key)
            if now is None or (now.state, now.epoch) != (BuildState.READY, build.epoch):
                return
            lifecycle.evicted(change, build.content_key)
            # In the same change: the next archive of this build will have the same name.
            kept = self._store.quarantine_archive(build.archive)
        log.error("%s %s", build.archive, f"is damaged; it is now {kept}" if kept else "is gone")
