"""Whether an archive is what it was, and what is done about one that is not.

One that is damaged is taken out of the store, and the loss told as `evicted` is told: what was
ready is no longer to be had, and asking again builds it again.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from sqlalchemy import Row

from datamill_builder.catalog import Catalog, lifecycle
from datamill_builder.catalog.states import BuildState
from datamill_builder.store import Store

log = logging.getLogger(__name__)


class Verdict(StrEnum):
    """What is with an archive."""

    SOUND = "sound"
    DAMAGED = "damaged"
    GONE = "gone"
    UNKNOWN = "unknown"
    """It can't be told: it could not be read, is being replaced, or the disk is gone."""


@dataclass(frozen=True)
class Look:
    """What was found. `mark`: what the file was known by while it was read."""

    verdict: Verdict
    mark: str | None = None


def look(store: Store, build: Row[Any], digest: Callable[[Path], str | None]) -> Look:
    """Compare the archive of a build that is ready with its digest.

    `digest` reads it; None where that can't be told.
    """
    mark = store.archive_mark(build.archive)
    if mark is None:  # the file is gone; or the disk is
        return Look(Verdict.GONE if store.is_there() else Verdict.UNKNOWN)
    found = digest(store.archive_path(build.archive))
    if found is None or store.archive_mark(build.archive) != mark:
        return Look(Verdict.UNKNOWN)
    return Look(Verdict.SOUND if found == build.sha256 else Verdict.DAMAGED, mark)


def act_on(catalog: Catalog, store: Store, build: Row[Any], found: Look) -> Path | None:
    """Take an archive away that is damaged or gone; return where it is now.

    One that was touched would be noticed when it is asked for; but that may be never, and till
    then it would be told to be there. One that is sound is known again by its file.
    """
    if found.verdict is Verdict.SOUND and found.mark != build.archive_mark:
        with catalog.write() as change:
            lifecycle.mark_archive(change, build, found.mark)
    elif found.verdict in (Verdict.DAMAGED, Verdict.GONE):
        return _take_away(catalog, store, build)
    return None


def _take_away(catalog: Catalog, store: Store, build: Row[Any]) -> Path | None:
    with catalog.write() as change:
        now = lifecycle.hold_build(change, build.content_key)
        if now is None or (now.state, now.epoch) != (BuildState.READY, build.epoch):
            return None
        lifecycle.evicted(change, build.content_key)
        # In the same change: the next archive of this build will have the same name.
        kept = store.quarantine_archive(build.archive)
    log.error("%s %s", build.archive, f"is damaged; it is now {kept}" if kept else "is gone")
    return kept
