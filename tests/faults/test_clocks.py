"""The wall clock of one builder jumps: leases go by no wall clock (fault 38)."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import select

from datamill_builder.catalog import schema
from datamill_builder.catalog.states import TaskState
from tests.support.builder import BuilderProcess, Start
from tests.support.clock import ShiftedClock
from tests.support.eventually import eventually
from tests.support.fault import Fault
from tests.support.listener import Connect
from tests.support.toy import write_items

LEASE_SECS = 3.0
SUMMER_ENDS = datetime(2026, 10, 25, 1, 0, tzinfo=UTC).timestamp()
"""In Berlin 3:00 becomes 2:00."""

jumps = pytest.mark.parametrize(
    "jump",
    [
        pytest.param(
            lambda clock: clock.shift(3600),
            marks=pytest.mark.fault(38, "clock of one builder jumps 1 h ahead"),
            id="ahead",
        ),
        pytest.param(
            lambda clock: clock.shift(-3600),
            marks=pytest.mark.fault(38, "clock of one builder jumps 1 h back"),
            id="back",
        ),
        pytest.param(
            lambda clock: clock.set(SUMMER_ENDS - 1),
            marks=[
                pytest.mark.fault(38, "summer time ends during a build, on one builder"),
                pytest.mark.long,
            ],
            id="summer",
        ),
    ],
)


@pytest.fixture
def clock(tmp_path: Path) -> ShiftedClock:
    return ShiftedClock(tmp_path)


@jumps
def test_no_lease_is_taken_early_and_none_is_kept_for_ever(
    home: Path,
    start_builder: Start,
    client: Connect,
    fault: Fault,
    clock: ShiftedClock,
    jump: Callable[[ShiftedClock], None],
) -> None:
    write_items(home / "raw", ["sleep 0.15 x"] * 60)
    settings = {"DATAMILL_LEASE_SECS": str(LEASE_SECS), "TZ": "Europe/Berlin"}
    shifted = start_builder(home, **settings, **clock.environment)
    right = start_builder(home, **settings)
    trainer = client()
    dataset_id = trainer.ask("toy")
    trainer.wait(dataset_id, "shard")
    jump(clock)
    fault.injected()
    ready = trainer.wait(dataset_id)
    assert ready["event"] == "ready"
    assert set(_tasks(right).values()) == {1}, "nobody's work was given to another"
    told = [e["records_per_sec"] for e in trainer.events if e["event"] == "progress"]
    assert told and all(0 <= rate < 1000 for rate in told), "rates go by no wall clock either"
    # The one with the wrong clock vanishes, and nobody can see from its lock that it did.
    longer = trainer.ask("toy", config={"prefix": "longer"})
    trainer.wait(longer, "shard")
    for lock in (home / "builders").glob("*.lock"):
        lock.unlink()
    shifted.kill()
    gone_at = fault.recovered()
    held = eventually(lambda: _held(right))
    assert trainer.wait(longer)["event"] == "ready"
    secs = fault.recovered() - gone_at
    fault.watch(right, trainer)
    again = [key for key, attempts in _tasks(right).items() if attempts > 1]
    assert again, "the killed builder held something"
    assert secs < 10 * LEASE_SECS
    fault.saw(
        f"no lease lost by the jump; of {len(held)} held when its owner vanished {len(again)} were "
        f"taken after the lease of {LEASE_SECS:.0f} s, ready {secs:.1f} s after"
    )


@jumps
def test_failures_and_hits_are_answered_whatever_the_clock_says(
    home: Path,
    start_builder: Start,
    client: Connect,
    fault: Fault,
    clock: ShiftedClock,
    jump: Callable[[ShiftedClock], None],
) -> None:
    builder = start_builder(home, TZ="Europe/Berlin", **clock.environment)
    trainer = client()
    good = trainer.ask("toy")
    assert trainer.wait(good)["event"] == "ready"
    bad = trainer.ask("toy", config={"repeat": 99}, message_id="waiting")
    assert trainer.wait(bad)["event"] == "failed"
    jump(clock)
    fault.injected()
    seen = len(trainer.events)
    trainer.ask("toy")
    assert trainer.wait(good, after=seen)["cached"] is True
    for message_id in ("waiting", "another"):
        seen = len(trainer.events)
        trainer.ask("toy", config={"repeat": 99}, message_id=message_id)
        assert trainer.wait(bad, after=seen)["reason"] == "invalid_config"
    assert abs(_accepted_at(builder, "another") - time.time()) > 1000, "it did jump"
    clock.shift(0)
    seen = len(trainer.events)
    trainer.ask("toy", config={"repeat": 99}, message_id="after all")
    assert trainer.wait(bad, after=seen)["reason"] == "invalid_config"
    new = trainer.ask("toy", config={"prefix": "new"})
    assert trainer.wait(new)["event"] == "ready"
    secs = fault.recovered()
    fault.watch(builder, trainer)
    fault.saw(f"4 questions and a build answered within {secs:.1f} s, there and back")


def _tasks(builder: BuilderProcess) -> dict[int, int]:
    """Return how often each task was begun."""
    catalog = builder.catalog
    with catalog.read() as connection:
        rows = connection.execute(select(schema.tasks.c.task_id, schema.tasks.c.attempts)).all()
    catalog.close()
    return {row.task_id: row.attempts for row in rows}


def _accepted_at(builder: BuilderProcess, message_id: str) -> float:
    catalog = builder.catalog
    with catalog.read() as connection:
        found = connection.scalar(
            select(schema.requests.c.accepted_at).where(schema.requests.c.message_id == message_id)
        )
    catalog.close()
    assert found is not None
    return float(found)


def _held(builder: BuilderProcess) -> list[int]:
    catalog = builder.catalog
    with catalog.read() as connection:
        held = connection.scalars(
            select(schema.tasks.c.task_id).where(schema.tasks.c.state == TaskState.LEASED)
        ).all()
    catalog.close()
    return list(held)
