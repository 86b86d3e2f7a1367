"""Opening archives, and only those that are what the catalog says."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import math
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Row

from datamill_builder.catalog import Catalog, CatalogUnavailable, lifecycle
from datamill_builder.store import Store
from datamill_notifier.call_thread import CallThread
from datamill_notifier.held_file import HeldFile
from datamill_notifier.problems import Problem, not_found, unavailable

log = logging.getLogger(__name__)

_CHECK_WAIT_SECS = 10.0
"""How long a request waits for an archive to be hashed before it is told to come back."""

_DOUBT_SECS = 60.0
"""An archive that is doubted is hashed at most so often."""

_READ_BYTES = 1024 * 1024
_MAX_VERDICTS = 4096


@dataclass(frozen=True)
class _Seen:
    """A file as it was at one moment, and the digest that it should have."""

    name: str
    mark: str
    sha256: str


class _Check:
    """A look at all bytes of an archive, under way or over."""

    def __init__(self, whole: asyncio.Future[bool]) -> None:
        self.whole = whole
        self._ended_at = math.inf
        whole.add_done_callback(self._end)

    def _end(self, _whole: asyncio.Future[bool]) -> None:
        self._ended_at = time.monotonic()

    def is_older_than(self, secs: float) -> bool:
        return time.monotonic() - self._ended_at > secs


class _Damaged(Exception):
    """An archive's bytes are not those of its digest."""

    problem = Problem(
        410, "damaged", "the archive is damaged: ask for the dataset again, it is built anew"
    )


class Archives:
    """Opens archives of the store; belongs to the event loop.

    An archive whose file is not marked as it was when it was packed is hashed again, once; so is
    one, marked or not, of which somebody says that it did not arrive whole. A damaged one is
    never served; taking it out of the store is the builder's business.
    """

    def __init__(self, catalog: Catalog, store: Store) -> None:
        self._catalog = catalog
        self._store = store
        self._checks: dict[_Seen, _Check] = {}
        # One at a time: hashing is as fast as the disk.
        self._hashing = CallThread("hash")

    async def open(self, build: Row[Any], *, doubted: bool = False) -> HeldFile:
        """Return the open archive of a build that is ready.

        `doubted`: somebody found that its bytes are not those of its digest. Raises the problem
        that answers the request: it is gone, damaged, or being checked.
        """
        try:
            path = self._store.archive_path(build.archive)
            held = await asyncio.to_thread(HeldFile, path)
        except FileNotFoundError as error:
            raise not_found("the archive is not in the store: ask for the dataset again") from error
        try:
            seen = _Seen(build.archive, held.mark, build.sha256)
            if doubted:
                await self._check(held, seen, _DOUBT_SECS)
            elif held.mark != build.archive_mark:
                await self._check(held, seen)
        except _Damaged as damaged:
            held.close()
            if held.mark == build.archive_mark:
                await asyncio.to_thread(self._forget_mark, build)
            raise damaged.problem from damaged
        except BaseException:
            held.close()
            raise
        return held

    async def _check(self, held: HeldFile, seen: _Seen, valid_secs: float = math.inf) -> None:
        check = self._checks.get(seen)
        if check is None or check.is_older_than(valid_secs):
            if len(self._checks) >= _MAX_VERDICTS:
                self._checks.clear()
            check = self._checks[seen] = _Check(self._begin_check(seen))
        # The check goes on when this request stops waiting for it.
        done, _ = await asyncio.wait({check.whole}, timeout=_CHECK_WAIT_SECS)
        if not done:
            raise unavailable("the archive is being checked: come back in a moment")
        if not check.whole.result():
            raise _Damaged
        if not held.is_unchanged():
            raise unavailable("the archive is changing: come back in a moment")

    def _begin_check(self, seen: _Seen) -> asyncio.Future[bool]:
        path = self._store.archive_path(seen.name)
        return self._hashing.call(lambda: _is_whole(path, seen))

    def _forget_mark(self, build: Row[Any]) -> None:
        """Have a builder look at an archive that rotted without a mark, when it is asked for."""
        try:
            with self._catalog.write() as change:
                lifecycle.mark_archive(change, build, None)
        except CatalogUnavailable as error:
            log.warning("%s", error)

    def close(self) -> None:
        """Stop checking."""
        self._hashing.stop()


def _is_whole(path: Path, seen: _Seen) -> bool:
    try:
        with HeldFile(path) as held:
            digest = hashlib.sha256()
            while piece := held.file.read(_READ_BYTES):
                digest.update(piece)
            whole = digest.hexdigest() == seen.sha256 and held.mark == seen.mark
            whole = whole and held.is_unchanged()
    except OSError as error:
        log.warning("%s can't be read: %s", seen.name, error)
        return False
    log.log(
        logging.INFO if whole else logging.ERROR,
        "%s was touched since it was packed, or doubted: it is %s",
        seen.name,
        "whole" if whole else "damaged, and not served",
    )
    return whole
