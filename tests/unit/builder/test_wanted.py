"""What somebody was told of, or asks for, stays, though no dataset id means it just now."""

from __future__ import annotations

import time

import pytest
from sqlalchemy import update

from datamill.events import Reason
from datamill_builder.catalog import lifecycle
from datamill_builder.catalog.holdings import Holding, Room, Stays, make_room, take_away
from datamill_builder.catalog.lifecycle import Failure
from datamill_builder.catalog.schema import datasets
from datamill_builder.catalog.states import BuildState, DatasetState, TaskKind
from datamill_builder.store import Store
from tests.support.ageing import unused_for
from tests.support.postgresql import postgresql
from tests.unit.builder.life import ARCHIVE, KEY, URL, Life, request
from tests.unit.builder.test_eviction import catalog, postgresql_catalog

__all__ = ["catalog", "postgresql", "postgresql_catalog"]

MINUTE_SECS, DAY_SECS = 60.0, 86_400.0
OTHER = "d" * 64
"""Another content key, behind the first one; `BEFORE` lies before it."""
BEFORE = "b" * 64


@pytest.fixture
def told(life: Life, store: Store) -> str:
    """A dataset id that was built long ago, and told ready three minutes ago."""
    dataset_id = life.ready(request(), shards=1)
    store.archive_path(ARCHIVE).write_bytes(b"archive")
    unused_for(life.catalog, KEY, DAY_SECS)
    with life.catalog.write() as change:
        lifecycle.answer_ready(change, dataset_id, life.build(), URL)
    unused_for(life.catalog, KEY, 3 * MINUTE_SECS)
    assert make_room(life.catalog, store, 0) == Room([], over_bytes=5000)
    return dataset_id


def ask_again(life: Life, dataset_id: str) -> None:
    """As when raw data was touched."""
    with life.catalog.write() as change:
        lifecycle.resolve_again(change, dataset_id)


def fail(life: Life, dataset_id: str) -> None:
    claim = life.claim(TaskKind.RESOLVE, dataset_id)
    with life.catalog.write() as change:
        lifecycle.resolve_failed(change, claim, Failure(Reason.INTERNAL, "no raw data"))


def test_while_it_is_resolved_again(life: Life, store: Store, told: str) -> None:
    ask_again(life, told)
    assert make_room(life.catalog, store, 0) == Room([], over_bytes=5000)
    unused_for(life.catalog, KEY, DAY_SECS)  # hashing raw data takes its time
    assert take_away(life.catalog, store, KEY) is Stays.WANTED
    assert store.archive_path(ARCHIVE).exists()
    assert life.resolve(told).state == BuildState.READY, "it is the same: nothing is built"
    assert make_room(life.catalog, store, 0).gone, "and then an hour, not for ever"


def test_for_an_hour_after_it_turned_out_to_mean_the_same(
    life: Life, store: Store, told: str
) -> None:
    ask_again(life, told)
    life.resolve(told)
    assert take_away(life.catalog, store, KEY) is Stays.RECENT
    row = life.dataset(told)
    assert (row.state, row.content_key, row.meant) == (DatasetState.RESOLVED, KEY, None)


@pytest.mark.parametrize("other", [OTHER, BEFORE])
def test_for_an_hour_after_it_turned_out_to_mean_another(
    life: Life, store: Store, told: str, other: str
) -> None:
    ask_again(life, told)
    life.resolve(told, other)
    assert take_away(life.catalog, store, KEY) is Stays.RECENT
    with life.catalog.write() as change:
        change.connection.execute(update(datasets).values(asked_at=time.time()))
    unused_for(life.catalog, KEY, DAY_SECS)
    assert isinstance(take_away(life.catalog, store, KEY), Holding), "whoever asks for the other"


def test_for_an_hour_after_two_changes_of_raw_data(life: Life, store: Store, told: str) -> None:
    for key in (OTHER, BEFORE):
        ask_again(life, told)
        life.resolve(told, key)
    assert take_away(life.catalog, store, KEY) is Stays.RECENT


def test_for_an_hour_after_it_could_not_be_resolved(life: Life, store: Store, told: str) -> None:
    ask_again(life, told)
    fail(life, told)
    assert take_away(life.catalog, store, KEY) is Stays.RECENT
    ask_again(life, told)
    unused_for(life.catalog, KEY, DAY_SECS)
    assert take_away(life.catalog, store, KEY) is Stays.WANTED, "what failed is tried once more"
    fail(life, told)
    assert make_room(life.catalog, store, 0).gone


def test_a_later_time_is_not_forgotten_for_an_earlier_one(
    life: Life, store: Store, told: str
) -> None:
    """Two ids meant it; the one that was asked for later leaves it first."""
    alias = life.accept(request(other=1), "m2")
    life.resolve(alias)
    with life.catalog.write() as change:
        asked_at = update(datasets).values(asked_at=time.time() - DAY_SECS)
        change.connection.execute(asked_at.where(datasets.c.dataset_id == alias))
    for dataset_id in (told, alias):
        ask_again(life, dataset_id)
        life.resolve(dataset_id, OTHER)
    assert take_away(life.catalog, store, KEY) is Stays.RECENT


def test_force_takes_it(life: Life, store: Store, told: str) -> None:
    ask_again(life, told)
    assert isinstance(take_away(life.catalog, store, KEY, force=True), Holding)
    assert life.build().state == BuildState.EVICTED
