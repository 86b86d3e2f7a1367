"""Several builders on one PostgreSQL catalog: the same promises as with SQLite."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import func, select

from datamill_builder.catalog import Catalog, builders, counters, schema
from datamill_builder.catalog.backlog import waiting
from tests.support.builder import BuilderProcess
from tests.support.listener import PlainClient
from tests.support.postgresql import PostgresqlServer, postgresql
from tests.support.toy import write_items

__all__ = ["postgresql"]


@pytest.fixture(scope="module")
def catalog_url(postgresql: PostgresqlServer) -> str:
    """One database for all tests here."""
    return postgresql.add_database()


def test_two_builders_share_one_build(
    catalog_url: str,
    home: Path,
    start_builder: Callable[..., BuilderProcess],
    client: Callable[[], PlainClient],
) -> None:
    write_items(home / "raw", ["sleep 0.05 x"] * 80)
    started = [start_builder(home, DATAMILL_CATALOG_URL=catalog_url) for _ in range(2)]
    trainer = client()
    asked = [trainer.ask("toy", config={"prefix": word}) for word in ("a", "b", "a")]
    ready = [trainer.wait(dataset_id, timeout_secs=60) for dataset_id in asked]
    assert [event["event"] for event in ready] == ["ready"] * 3
    assert [event["records"] for event in ready] == [80] * 3
    seen = len(trainer.events)
    trainer.ask("toy", config={"prefix": "a"})
    assert trainer.wait(asked[0], after=seen)["cached"] is True
    refused = trainer.wait(trainer.ask("toy", config={"repeat": 99}))
    assert refused["reason"] == "invalid_config"

    catalog = Catalog(catalog_url)
    with catalog.read() as connection:
        assert connection.scalar(select(func.count()).select_from(schema.builds)) == 2
        attempts = connection.scalars(
            select(schema.tasks.c.attempts).where(schema.tasks.c.kind == "shard")
        ).all()
        owners = connection.scalar(select(func.count()).select_from(schema.outbox))
    catalog.close()
    assert len(attempts) == 40
    assert set(attempts) == {1}, "no shard was made twice"
    assert owners == 0 or trainer.seen(asked[0]), "the outbox empties"
    assert all("not foreseen" not in builder.log() for builder in started)
    _check_numbers(catalog_url, started)


def _check_numbers(catalog_url: str, started: list[BuilderProcess]) -> None:
    """See that what both have counted was added up."""
    catalog = Catalog(catalog_url)
    with catalog.read() as connection:
        assert builders.alive(connection) == (2, 4)
        there = waiting(connection)
    assert (there.queued, there.queued_secs) == (0, 0)
    for builder in started:
        assert builder.stop() == 0
    with catalog.read() as connection:
        assert builders.alive(connection) == (0, 0)
        counts = counters.read(connection)
    catalog.close()
    assert counts["records", ()] == 160
    outcomes = {
        dict(labels)["outcome"]: n
        for (name, labels), n in counts.items()
        if name == "request_outcomes"
    }
    assert {name: n for name, n in outcomes.items() if n} == {"new": 3, "merged": 1, "hit": 1}
    buckets = [n for (name, _), n in counts.items() if name == "shard_seconds_bucket"]
    assert sum(buckets) == 40


def test_a_killed_builder_is_taken_over_by_the_other(
    catalog_url: str,
    home: Path,
    start_builder: Callable[..., BuilderProcess],
    client: Callable[[], PlainClient],
) -> None:
    write_items(home / "raw", ["sleep 0.5 x"] * 24)
    settings = {"DATAMILL_CATALOG_URL": catalog_url, "DATAMILL_LEASE_SECS": "3"}
    first, second = (start_builder(home, **settings) for _ in range(2))
    trainer = client()
    dataset_id = trainer.ask("toy", config={"prefix": "takeover"})
    trainer.wait(dataset_id, "shard")
    first.kill()
    assert trainer.wait(dataset_id, timeout_secs=60)["event"] == "ready"
    assert second.process is not None and second.process.poll() is None
