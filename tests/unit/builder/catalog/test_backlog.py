"""How much waits, and for how long."""

from __future__ import annotations

import time
from typing import Any

import pytest
from sqlalchemy import Table, delete, insert, update

from datamill_builder.catalog import Catalog, lifecycle
from datamill_builder.catalog.backlog import Waiting, waiting
from datamill_builder.catalog.schema import builds, datasets, hook_calls, outbox, requests
from datamill_builder.catalog.states import TaskKind
from tests.unit.builder.life import KEY, Life, request

ONE, OTHER = request(number=1), request(number=2)
HOUR = 3600.0


def now(catalog: Catalog) -> Waiting:
    with catalog.read() as connection:
        return waiting(connection)


def change_all(catalog: Catalog, table: Table, **values: Any) -> None:
    with catalog.write() as change:
        change.connection.execute(update(table).values(**values))


def about(secs: float) -> Any:
    return pytest.approx(secs, abs=60)


def test_nothing_waits(catalog: Catalog) -> None:
    assert now(catalog) == Waiting(0, 0.0, 0.0, {})


def test_what_is_not_resolved_waits_since_the_first_who_asked(catalog: Catalog, life: Life) -> None:
    life.accept(ONE, "m1")
    change_all(catalog, requests, accepted_at=time.time() - HOUR)
    with catalog.write() as change:
        lifecycle.log_requests(change, ["m2"], ONE.dataset_id)
        lifecycle.wait_for(change, ONE.dataset_id, 1)
    there = now(catalog)
    assert there.queued == 1
    assert there.queued_secs == about(HOUR)


def test_who_had_an_answer_does_not_wait(catalog: Catalog, life: Life) -> None:
    life.ready(ONE)
    change_all(catalog, requests, accepted_at=time.time() - HOUR)
    with catalog.write() as change:
        lifecycle.log_requests(change, ["later"], ONE.dataset_id)
        lifecycle.resolve_again(change, ONE.dataset_id)
        lifecycle.wait_for(change, ONE.dataset_id, 1)
    there = now(catalog)
    assert there.queued == 1
    assert there.queued_secs < 60


def test_a_build_waits_until_a_shard_is_begun(catalog: Catalog, life: Life) -> None:
    life.accept(ONE)
    life.resolve(ONE.dataset_id)
    change_all(catalog, builds, created_at=time.time() - 2 * HOUR)
    assert now(catalog).queued_secs == about(2 * HOUR), "not planned yet"
    life.plan(2)
    change_all(catalog, builds, started_at=time.time() - HOUR)
    there = now(catalog)
    assert (there.queued, there.queued_secs) == (1, about(HOUR))
    claim = life.claim(TaskKind.SHARD, KEY)
    assert (now(catalog).queued, now(catalog).queued_secs) == (0, 0)
    life.accept(OTHER, "m2")
    assert now(catalog).queued == 1
    assert claim.index == 0


def test_the_outbox_is_as_old_as_its_oldest_event(catalog: Catalog, life: Life) -> None:
    life.accept(ONE)
    old = b'{"event":"ready","dataset_id":"x","time":"2026-01-01T00:00:00.000Z"}'
    change_all(catalog, outbox, body=old)
    assert now(catalog).outbox_secs > HOUR
    with catalog.write() as change:
        change.connection.execute(delete(outbox))
    assert now(catalog).outbox_secs == 0


def test_calls_of_hooks_by_state(catalog: Catalog) -> None:
    call = {
        "hook": "http://h",
        "event": "ready",
        "dataset_id": "a" * 64,
        "body": "{}",
        "due_at": 0.0,
        "created_at": 0.0,
    }
    rows = [{**call, "state": state} for state in ("due", "done", "due")]
    with catalog.write() as change:
        change.connection.execute(insert(hook_calls), rows)
    assert now(catalog).hook_calls == {"due": 2, "done": 1}


def test_a_clock_that_was_set_back_gives_no_negative_age(catalog: Catalog, life: Life) -> None:
    life.accept(ONE)
    change_all(catalog, requests, accepted_at=time.time() + HOUR)
    change_all(catalog, datasets, created_at=time.time() + HOUR)
    assert now(catalog).queued_secs == 0
