"""A builder is killed at the worst moments of a request's life (faults 1 to 6)."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from sqlalchemy import func, select

from datamill.failpoint import VARIABLE
from datamill_builder.catalog import schema
from tests.support.builder import BuilderProcess, Start
from tests.support.eventually import eventually
from tests.support.fault import Fault
from tests.support.listener import Connect
from tests.support.toy import write_items


@pytest.mark.parametrize(
    "point",
    [
        pytest.param(
            "intake.received",
            marks=pytest.mark.fault(1, "builder killed after receive, before the commit"),
            id="received",
        ),
        pytest.param(
            "intake.committed",
            marks=pytest.mark.fault(2, "builder killed after the commit, before acknowledging"),
            id="committed",
        ),
        pytest.param(
            "outbox.committed",
            marks=pytest.mark.fault(3, "builder killed before the outbox was published"),
            id="unpublished",
        ),
        pytest.param(
            "outbox.confirmed",
            marks=pytest.mark.fault(4, "builder killed after the confirm, before striking out"),
            id="confirmed",
        ),
    ],
)
def test_a_request_survives_its_builder(
    home: Path, start_builder: Start, client: Connect, fault: Fault, point: str
) -> None:
    builder = start_builder(home, **{VARIABLE: point})
    trainer = client()
    dataset_id = trainer.ask("toy")
    builder.wait_killed()
    fault.injected()
    again = start_builder(home)
    ready = trainer.wait(dataset_id)
    secs = fault.recovered()
    fault.watch(again, trainer)
    assert ready["event"] == "ready"
    builds, accepted, attempts = _counts(again)
    assert (builds, accepted) == (1, 1)
    assert attempts <= {1, 2}, "only what was in hand was begun again"
    fault.saw(f"1 request logged, 1 build, ready {secs:.1f} s after")


def _counts(builder: BuilderProcess) -> tuple[int | None, int | None, set[int]]:
    catalog = builder.catalog
    with catalog.read() as connection:
        builds = connection.scalar(select(func.count()).select_from(schema.builds))
        requests = connection.scalar(select(func.count()).select_from(schema.requests))
        attempts = set(connection.scalars(select(schema.tasks.c.attempts)))
    catalog.close()
    return builds, requests, attempts


@pytest.mark.parametrize("point", ["shard.written@2", "shard.kept@2", "shard.committed@2"])
@pytest.mark.fault(5, "builder killed around the end of a shard")
def test_a_killed_worker_costs_the_shards_in_hand(
    home: Path,
    start_builder: Start,
    client: Connect,
    fault: Fault,
    point: str,
    undisturbed: str,
) -> None:
    builder = start_builder(home, **{VARIABLE: point})
    trainer = client()
    dataset_id = trainer.ask("toy")
    builder.wait_killed()
    fault.injected()
    again = start_builder(home)
    ready = trainer.wait(dataset_id)
    secs = fault.recovered()
    fault.watch(again, trainer)
    assert ready["sha256"] == undisturbed, "the same bytes as of a build that nothing disturbed"
    _, _, attempts = _counts(again)
    assert attempts <= {1, 2}
    fault.saw(f"at {point}: the same bytes as undisturbed, ready {secs:.1f} s after")


@pytest.mark.fault(5, "builder killed while its handlers write shards")
def test_a_half_written_shard_is_thrown_away(
    home: Path, start_builder: Start, client: Connect, fault: Fault
) -> None:
    write_items(home / "raw", ["sleep 1.0 zzz"] * 8)
    builder = start_builder(home)
    trainer = client()
    dataset_id = trainer.ask("toy")
    scratch = home / "store" / "scratch"
    eventually(lambda: any(scratch.glob("*/shard.tfrecord")))
    builder.kill()
    fault.injected()
    again = start_builder(home)
    ready = trainer.wait(dataset_id)
    secs = fault.recovered()
    fault.watch(again, trainer)
    assert ready["records"] == 8
    fault.saw(f"half shards swept away, made again, ready {secs:.1f} s after")


@pytest.mark.parametrize("point", ["pack.shard@1", "pack.shard@3", "pack.entry@3", "pack.synced"])
@pytest.mark.fault(6, "builder killed while it packs the archive")
def test_a_half_packed_archive_is_never_seen(
    home: Path,
    start_builder: Start,
    client: Connect,
    fault: Fault,
    point: str,
    undisturbed: str,
) -> None:
    builder = start_builder(home, **{VARIABLE: point})
    trainer = client()
    dataset_id = trainer.ask("toy")
    builder.wait_killed()
    assert not builder.archives(), "nothing is published that was not finished"
    assert "ready" not in trainer.seen(dataset_id)
    fault.injected()
    again = start_builder(home)
    ready = trainer.wait(dataset_id)
    secs = fault.recovered()
    fault.watch(again, trainer)
    assert ready["sha256"] == undisturbed
    fault.saw(f"at {point}: nothing published, packed again, ready {secs:.1f} s after")


@pytest.mark.fault(6, "builder killed after the archive's rename, before the commit")
def test_an_archive_that_nobody_knows_of_is_made_good(
    home: Path, start_builder: Start, client: Connect, fault: Fault, undisturbed: str
) -> None:
    builder = start_builder(home, **{VARIABLE: "pack.renamed"})
    trainer = client()
    dataset_id = trainer.ask("toy")
    builder.wait_killed()
    (archive,) = builder.archives()
    assert hashlib.sha256(archive.read_bytes()).hexdigest() == undisturbed, "whole, if not known"
    assert "ready" not in trainer.seen(dataset_id), "told only when it is in the catalog"
    fault.injected()
    again = start_builder(home)
    ready = trainer.wait(dataset_id)
    secs = fault.recovered()
    fault.watch(again, trainer)
    assert ready["sha256"] == undisturbed
    assert [path.name for path in again.archives()] == [ready["archive"]]
    fault.saw(f"the archive was whole, and ready was told once, {secs:.1f} s after")


@pytest.mark.fault(6, "builder killed right after the archive's commit")
def test_ready_is_told_by_the_next_builder(
    home: Path, start_builder: Start, client: Connect, fault: Fault
) -> None:
    builder = start_builder(home, **{VARIABLE: "pack.committed"})
    trainer = client()
    dataset_id = trainer.ask("toy")
    builder.wait_killed()
    fault.injected()
    again = start_builder(home)
    ready = trainer.wait(dataset_id)
    secs = fault.recovered()
    fault.watch(again, trainer)
    assert ready["event"] == "ready"
    fault.saw(f"told from the outbox, shard files dropped, {secs:.1f} s after")
