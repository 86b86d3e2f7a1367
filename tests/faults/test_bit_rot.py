"""Disks lose bits: shards before they are packed, archives after (fault 36)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import select

import datamill
from datamill_builder.catalog import schema
from datamill_builder.catalog.states import TaskKind
from datamill_builder.handlers.wheels import file_sha256
from tests.support import rot
from tests.support.builder import BuilderProcess, Start
from tests.support.eventually import eventually
from tests.support.fault import Fault
from tests.support.listener import Connect
from tests.support.notifier import NotifierProcess
from tests.support.toy import write_items
from tests.support.trainer import trainer_cache

__all__ = ["trainer_cache"]

NEVER = {"DATAMILL_SCRUB_SECS": "0"}


@pytest.fixture
def notifier(home: Path, broker_url: str) -> Iterator[NotifierProcess]:
    process = NotifierProcess(home, broker_url).start()
    yield process
    assert process.stop() == 0, process.log()


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(
            rot.flip_bit, marks=pytest.mark.fault(36, "bit flipped in a shard"), id="flip"
        ),
        pytest.param(rot.truncate, marks=pytest.mark.fault(36, "shard truncated"), id="cut"),
        pytest.param(Path.unlink, marks=pytest.mark.fault(36, "shard deleted"), id="gone"),
    ],
)
def test_only_the_damaged_shard_is_made_again(
    home: Path,
    start_builder: Start,
    client: Connect,
    fault: Fault,
    damage: Callable[[Path], None],
) -> None:
    write_items(home / "raw", ["item"] * 19 + ["sleep 2.5 x"])
    builder = start_builder(home)
    trainer = client()
    dataset_id = trainer.ask("toy")
    first = trainer.wait(dataset_id, "shard")
    (file,) = (home / "store" / "shards").glob(f"*/{first['index']:05d}-1.tfrecord")
    damage(file)
    fault.injected()
    assert trainer.wait(dataset_id)["event"] == "ready"
    secs = fault.recovered()
    fault.watch(builder, trainer)
    owners = _fences(builder)
    assert {index for index, fence in owners.items() if fence > 1} == {first["index"]}
    again = [e for e in trainer.events if e["event"] == "shard" and e["index"] == first["index"]]
    assert [e["sha256"] for e in again] == [first["sha256"]] * 2, "the same bytes once more"
    fault.saw(f"1 of {len(owners)} shards made again, ready {secs:.1f} s after")


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(
            rot.flip_bit_seen, marks=pytest.mark.fault(36, "bit flipped in an archive"), id="flip"
        ),
        pytest.param(rot.truncate, marks=pytest.mark.fault(36, "archive truncated"), id="cut"),
        pytest.param(Path.unlink, marks=pytest.mark.fault(36, "archive deleted"), id="gone"),
    ],
)
def test_a_damaged_archive_is_built_again_when_it_is_asked_for(
    home: Path,
    start_builder: Start,
    client: Connect,
    notifier: NotifierProcess,
    fault: Fault,
    damage: Callable[[Path], None],
) -> None:
    builder = start_builder(home, **NEVER)
    trainer = client()
    dataset_id = trainer.ask("toy")
    ready = trainer.wait(dataset_id)
    (archive,) = builder.archives()
    damage(archive)
    fault.injected()
    answer = notifier.ask(f"/datasets/{archive.name}")
    assert answer.status in (404, 410), "never served"
    seen = len(trainer.events)
    trainer.ask("toy")
    again = trainer.wait(dataset_id, after=seen)
    secs = fault.recovered()
    fault.watch(builder, trainer)
    assert (again["event"], again["sha256"]) == ("ready", ready["sha256"])
    assert again["cached"] is False
    assert notifier.ask(f"/datasets/{archive.name}").status == 200
    kept = list((home / "store").glob("quarantine/*.zip"))
    assert len(kept) == (damage is not Path.unlink), "what is damaged is kept, to be looked at"
    fault.saw(f"answered {answer.status}, built again with the same digest in {secs:.1f} s")


@pytest.mark.fault(36, "bit flipped in an archive, size and time unchanged")
def test_the_scrubber_finds_what_nothing_shows(
    home: Path, start_builder: Start, client: Connect, notifier: NotifierProcess, fault: Fault
) -> None:
    builder = start_builder(home, DATAMILL_SCRUB_SECS="0.5")
    trainer = client()
    dataset_id = trainer.ask("toy")
    ready = trainer.wait(dataset_id)
    (archive,) = builder.archives()
    rot.flip_bit(archive)
    fault.injected()
    trainer.wait(dataset_id, "evicted")
    noticed = fault.recovered()
    eventually(lambda: not builder.archives())
    assert [path.name for path in (home / "store" / "quarantine").iterdir()] == [archive.name]
    assert notifier.ask(f"/datasets/{archive.name}").status == 404
    assert notifier.ask(f"/datasets/{dataset_id}").document["state"] == "evicted"
    seen = len(trainer.events)
    trainer.ask("toy")
    again = trainer.wait(dataset_id, after=seen)
    fault.watch(builder, trainer)
    assert (again["event"], again["sha256"]) == ("ready", ready["sha256"])
    fault.saw(f"quarantined and told as evicted {noticed:.1f} s after; built again when asked for")


@pytest.mark.fault(36, "bit flipped in an archive that a trainer fetches before anybody looked")
def test_a_trainer_that_gets_wrong_bytes_gets_a_new_archive(
    home: Path,
    start_builder: Start,
    client: Connect,
    notifier: NotifierProcess,
    fault: Fault,
    trainer_cache: Path,
) -> None:
    builder = start_builder(home, DATAMILL_PUBLIC_URL=notifier.url, **NEVER)
    other = client()
    ready = other.wait(other.ask("toy"))
    (archive,) = builder.archives()
    rot.flip_bit(archive)
    fault.injected()
    dataset = datamill.request_dataset("toy", "1.0.0")
    folder = dataset.wait(timeout=60)
    secs = fault.recovered()
    fault.watch(builder, other)
    digests = {shard.file: shard.sha256 for shard in dataset.manifest.shards}
    assert {name: file_sha256(folder / name) for name in digests} == digests
    assert file_sha256(archive) == ready["sha256"]
    assert not list((trainer_cache / "downloads").iterdir())
    sent_bytes = notifier.numbers()["datamill_served_bytes_total"]
    assert sent_bytes == 2 * ready["bytes"], "fetched twice, wrong and right: no loop"
    fault.saw(f"wrong bytes noticed, archive built anew, trained on after {secs:.1f} s")


def _fences(builder: BuilderProcess) -> dict[int, int]:
    catalog = builder.catalog
    with catalog.read() as connection:
        rows = connection.execute(
            select(schema.tasks.c.number, schema.tasks.c.fence).where(
                schema.tasks.c.kind == TaskKind.SHARD
            )
        )
        found = {row.number: row.fence for row in rows}
    catalog.close()
    return found
