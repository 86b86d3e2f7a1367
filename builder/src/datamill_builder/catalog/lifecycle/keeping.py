"""That a build's archive stays, for ever or for a while, or that its shards' files are gone."""

from __future__ import annotations

import time
from collections.abc import Collection
from typing import Any

from sqlalchemy import Row, select, update

from datamill_builder.catalog.engine import Transaction
from datamill_builder.catalog.lifecycle.find import hold_build
from datamill_builder.catalog.schema import builds, datasets, shards
from datamill_builder.catalog.states import BuildState

_AHEAD_SECS = 300.0
"""Clocks of several machines are not further apart, and states are noted for a minute."""


def pin(change: Transaction, content_key: str) -> bool:
    """Have a build's archive never evicted, the one that is there or those that will be.

    Returns False where that is so already.
    """
    return _say_pinned(change, content_key, time.time())


def unpin(change: Transaction, content_key: str) -> bool:
    """Let a build's archive be evicted; returns False where it was not pinned."""
    return _say_pinned(change, content_key, None)


def _say_pinned(change: Transaction, content_key: str, pinned_at: float | None) -> bool:
    build = hold_build(change, content_key)
    assert build is not None
    if (build.pinned_at is None) == (pinned_at is None):
        return False
    change.connection.execute(
        update(builds).where(builds.c.content_key == content_key).values(pinned_at=pinned_at)
    )
    return True


def told_ready(change: Transaction, dataset_ids: Collection[str], told_at: float) -> None:
    """Note that somebody is told by a state that datasets are ready, if they still are."""
    meant = select(datasets.c.content_key).where(datasets.c.dataset_id.in_(dataset_ids))
    known = change.connection.scalars(meant.where(datasets.c.content_key.is_not(None)))
    for content_key in sorted(set(known)):  # builds, too, are held in their order
        build = hold_build(change, content_key)
        if build is not None and build.state == BuildState.READY:
            note_told(change, build, told_at)


def note_told(change: Transaction, build: Row[Any], told_at: float) -> None:
    """Note when somebody was told of a build, which is held; the last time counts.

    One that a clock wrote that was ahead does not.
    """
    before = build.told_at or 0.0
    if not told_at < before < time.time() + _AHEAD_SECS:
        change.connection.execute(
            update(builds).where(builds.c.content_key == build.content_key).values(told_at=told_at)
        )


def forget_files(change: Transaction, content_key: str) -> None:
    """Forget the files of a build's loose shards, which are about to be deleted.

    What they held stays known: begun again, the build makes them anew.
    """
    change.connection.execute(
        update(shards).where(shards.c.content_key == content_key).values(file=None)
    )
