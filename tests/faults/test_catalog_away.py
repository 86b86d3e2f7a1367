"""The catalog is locked, restarted, cut off or refuses to serialise (fault 37)."""

from __future__ import annotations

import sqlite3
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import select

from datamill_builder.catalog import schema
from datamill_producer.rabbitmq import PrivateNode
from tests.support import invariants
from tests.support.builder import BuilderProcess, Start
from tests.support.eventually import eventually
from tests.support.fault import Fault
from tests.support.listener import Connect
from tests.support.postgresql import PostgresqlServer, postgresql
from tests.support.toy import write_items

__all__ = ["postgresql"]

LOCKED_SECS = 10.0
AWAY_SECS = 4.0


@pytest.fixture
def database(postgresql: PostgresqlServer) -> str:
    return postgresql.add_database()


@pytest.mark.fault(37, "SQLite locked for 10 s by another writer")
def test_a_locked_catalog_is_waited_for(
    request: pytest.FixtureRequest,
    home: Path,
    start_builder: Start,
    client: Connect,
    fault: Fault,
    node: PrivateNode,
) -> None:
    write_items(home / "raw", ["sleep 0.1 x"] * 40)
    builder = start_builder(home)
    trainer = client()
    in_hand = trainer.ask("toy")
    trainer.wait(in_hand, "shard")
    other = sqlite3.connect(home / "catalog.sqlite", isolation_level=None, timeout=30)
    other.execute("BEGIN IMMEDIATE")
    request.addfinalizer(other.close)
    fault.injected()
    asked = trainer.ask("toy", config={"prefix": "locked out"})
    deadline = time.monotonic() + LOCKED_SECS
    depth = _depth(node, builder)
    eventually(lambda: depth() == 1)  # the broker counts now and then
    while time.monotonic() < deadline:
        trainer.listen(0.5)
        assert depth() == 1, "no acknowledgement before the commit"
    assert not trainer.seen(asked)
    other.execute("ROLLBACK")
    other.close()
    unlocked = fault.recovered()
    trainer.wait(asked, "accepted")
    accepted = fault.recovered() - unlocked
    assert trainer.wait(asked)["event"] == trainer.wait(in_hand)["event"] == "ready"
    fault.watch(builder, trainer)
    assert _attempts(builder).keys() == {1}, "no lease was lost"
    fault.saw(f"request unacknowledged for {LOCKED_SECS:.0f} s, accepted {accepted:.1f} s after")


@pytest.mark.parametrize(
    "how",
    [
        pytest.param("fast", marks=pytest.mark.fault(37, "PostgreSQL restarted"), id="restart"),
        pytest.param(
            "immediate",
            marks=[
                pytest.mark.fault(37, "PostgreSQL killed and recovered"),
                pytest.mark.long,
            ],
            id="kill",
        ),
    ],
)
def test_what_is_in_hand_survives_a_restart_of_postgresql(
    home: Path,
    start_builder: Start,
    client: Connect,
    fault: Fault,
    node: PrivateNode,
    postgresql: PostgresqlServer,
    database: str,
    how: str,
) -> None:
    write_items(home / "raw", ["sleep 0.2 x"] * 32)
    builder = start_builder(home, DATAMILL_CATALOG_URL=database)
    trainer = client()
    in_hand = trainer.ask("toy")
    trainer.wait(in_hand, "shard")
    postgresql.stop(how)
    fault.injected()
    asked = trainer.ask("toy", config={"prefix": "while it is away"})
    trainer.listen(AWAY_SECS)
    depth = _depth(node, builder)
    eventually(lambda: depth() == 1)
    postgresql.start()
    back = fault.recovered()
    ends = [trainer.wait(dataset_id, timeout_secs=90)["event"] for dataset_id in (in_hand, asked)]
    secs = fault.recovered() - back
    fault.watch(builder, trainer)
    assert ends == ["ready", "ready"]
    attempts = _attempts(builder)
    # A claim whose answer was just on its way comes up again when its lease has run out.
    assert attempts.keys() <= {1, 2} and attempts[2] <= 1
    fault.saw(
        f"away {back:.1f} s: request kept unacknowledged, shards in hand committed afterwards "
        f"({attempts[2]} of {attempts.total()} tasks begun twice), ready {secs:.1f} s after"
    )


@pytest.mark.fault(37, "pg_terminate_backend on all connections, ten times during a build")
def test_cut_connections_cost_no_shard_and_no_request(
    home: Path,
    start_builder: Start,
    client: Connect,
    fault: Fault,
    postgresql: PostgresqlServer,
    database: str,
) -> None:
    write_items(home / "raw", ["sleep 0.05 x"] * 120)
    builder = start_builder(home, DATAMILL_CATALOG_URL=database, DATAMILL_LEASE_SECS="6")
    trainer = client()
    asked = [trainer.ask("toy")]
    trainer.wait(asked[0], "shard")
    fault.injected()
    cut = 0
    for number in range(10):
        cut += postgresql.terminate_backends()
        asked.append(trainer.ask("toy", config={"prefix": f"{number}", "max_items": 2}))
        trainer.listen(0.3)
    over = fault.recovered()
    ends = [trainer.wait(dataset_id, timeout_secs=90)["event"] for dataset_id in asked]
    secs = fault.recovered() - over
    fault.watch(builder, trainer)
    assert cut >= 10
    assert ends == ["ready"] * 11
    attempts = _attempts(builder)
    assert max(attempts) <= 3
    repeated = attempts.total() - attempts[1]
    fault.saw(
        f"{cut} connections cut; 11 of 11 ready {secs:.1f} s after; "
        f"{repeated} of {attempts.total()} tasks begun again"
    )


@pytest.fixture
def serialising(postgresql: PostgresqlServer) -> Iterator[PostgresqlServer]:
    """Every transaction is serialisable: those that got in each other's way are refused."""
    postgresql.execute("ALTER ROLE datamill SET default_transaction_isolation TO 'serializable'")
    yield postgresql
    postgresql.execute("ALTER ROLE datamill RESET default_transaction_isolation")


@pytest.mark.fault(37, "PostgreSQL refuses changes: serialization failures")
def test_changes_that_could_not_be_serialised_are_made_again(
    serialising: PostgresqlServer,
    home: Path,
    start_builder: Start,
    client: Connect,
    fault: Fault,
    database: str,
) -> None:
    write_items(home / "raw", ["item"] * 120)
    settings = {"DATAMILL_CATALOG_URL": database, "DATAMILL_WORKERS": "4"}
    builders = [start_builder(home, **settings)]
    builders.append(start_builder(home, **settings))
    trainer = client()
    fault.injected()
    asked = [trainer.ask("toy", config={"prefix": word}) for word in "abc"]
    ends = [trainer.wait(dataset_id, timeout_secs=120)["event"] for dataset_id in asked]
    secs = fault.recovered()
    fault.watch(builders[0], trainer)
    assert ends == ["ready"] * 3
    # Both write into one log: they share a home.
    refused = builders[0].log().count("could not serialize")
    assert refused, "nothing was refused: the test shows nothing"
    assert max(_attempts(builders[0])) <= 2
    fault.saw(f"{refused} changes refused and made again, 3 of 3 ready within {secs:.1f} s")


def _depth(node: PrivateNode, builder: BuilderProcess) -> Callable[[], int]:
    """Return what counts the requests that are not acknowledged."""
    return lambda: invariants.queue_depths(node, builder.broker_url)["dataset.requests.v1"]


def _attempts(builder: BuilderProcess) -> Counter[int]:
    """Return how many tasks were begun how often."""
    catalog = builder.catalog
    with catalog.read() as connection:
        found = Counter(connection.scalars(select(schema.tasks.c.attempts)))
    catalog.close()
    return found
