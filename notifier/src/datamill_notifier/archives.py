"""Opening archives, and only those that are what the catalog says."""

from __future__ import annotations

import asyncio
import hashlib
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Row

from datamill_builder.store import Store
from datamill_notifier.call_thread import CallThread
from datamill_notifier.held_file import HeldFile
from datamill_notifier.problems import Problem, not_found, unavailable

log = logging.getLogger(__name__)

_CHECK_WAIT_SECS = 10.0
"""How long a request waits for an archive to be hashed before it is told to come back."""

_READ_BYTES = 1024 * 1024
_MAX_VERDICTS = 4096


@dataclass(frozen=True)
class _Seen:
    """A file as it was at one moment, and the digest that it should have."""

    name: str
    mark: str
    sha256: str


class Archives:
    """Opens archives of the store; belongs to the event loop.

    An archive whose file is not marked as it was when it was packed is hashed again, once. A
    damaged one is never served; taking it out of the store is the builder's business.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._checks: dict[_Seen, asyncio.Future[bool]] = {}
        # One at a time: hashing is as fast as the disk.
        self._hashing = CallThread("hash")

    async def open(self, build: Row[Any]) -> HeldFile:
        """Return the open archive of a build that is ready.

        Raises the problem that answers the request: it is gone, damaged, or being checked.
        """
        try:
            path = self._store.archive_path(build.archive)
            held = await asyncio.to_thread(HeldFile, path)
        except FileNotFoundError as error:
            raise not_found("the archive is not in the store: ask for the dataset again") from error
        try:
            if held.mark != build.archive_mark:
                await self._check(held, _Seen(build.archive, held.mark, build.sha256))
        except BaseException:
            held.close()
            raise
        return held

    async def _check(self, held: HeldFile, seen: _Seen) -> None:
        check = self._checks.get(seen)
        if check is None:
            if len(self._checks) >= _MAX_VERDICTS:
                self._checks.clear()
            check = self._checks[seen] = self._begin_check(seen)
        # The check goes on when this request stops waiting for it.
        done, _ = await asyncio.wait({check}, timeout=_CHECK_WAIT_SECS)
        if not done:
            raise unavailable("the archive is being checked: come back in a moment")
        if not check.result():
            raise _damaged()
        if not held.is_unchanged():
            raise unavailable("the archive is changing: come back in a moment")

    def _begin_check(self, seen: _Seen) -> asyncio.Future[bool]:
        path = self._store.archive_path(seen.name)
        return self._hashing.call(lambda: _is_whole(path, seen))

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
        "%s was touched since it was packed: it is %s",
        seen.name,
        "whole" if whole else "damaged, and not served",
    )
    return whole


def _damaged() -> Problem:
    return unavailable("the archive is damaged: ask for the dataset again, it is built anew")
