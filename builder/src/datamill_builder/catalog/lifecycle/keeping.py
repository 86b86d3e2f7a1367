"""That a build's archive stays, or that the files of its shards are gone."""

from __future__ import annotations

import time

from sqlalchemy import update

from datamill_builder.catalog.engine import Transaction
from datamill_builder.catalog.lifecycle.find import hold_build
from datamill_builder.catalog.schema import builds, shards


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


def forget_files(change: Transaction, content_key: str) -> None:
    """Forget the files of a build's loose shards, which are about to be deleted.

    What they held stays known: begun again, the build makes them anew.
    """
    change.connection.execute(
        update(shards).where(shards.c.content_key == content_key).values(file=None)
    )
