"""Raw data and archives that change under the service."""

from __future__ import annotations

import hashlib
from pathlib import Path

from tests.support.builder import Start
from tests.support.listener import Connect
from tests.support.toy import write_items


def test_changed_raw_data_is_built_anew(home: Path, start_builder: Start, client: Connect) -> None:
    builder = start_builder(home)
    trainer = client()
    dataset_id = trainer.ask("toy")
    first = trainer.wait(dataset_id)
    (home / "raw" / "toy" / "more.txt").write_text("another file\n")
    seen = len(trainer.events)
    trainer.ask("toy")
    second = trainer.wait(dataset_id, after=seen)
    assert second["content_key"] != first["content_key"]
    assert len(builder.archives()) == 2, "the old archive stays what it is"


def test_raw_data_that_changes_during_a_build_is_noticed(
    home: Path, start_builder: Start, client: Connect
) -> None:
    write_items(home / "raw", ["sleep 0.5 zzz"] * 8)
    builder = start_builder(home, DATAMILL_WORKERS="1")
    trainer = client()
    dataset_id = trainer.ask("toy")
    trainer.wait(dataset_id, "shard")
    write_items(home / "raw", ["other"] * 8)
    failed = trainer.wait(dataset_id)
    assert (failed["reason"], failed["retryable"]) == ("bad_data", True)
    assert "changed" in failed["message"]
    assert not builder.archives()
    trainer.listen(1.2)
    seen = len(trainer.events)
    trainer.ask("toy")
    assert trainer.wait(dataset_id, after=seen)["event"] == "ready"


def test_raw_data_written_over_in_place_is_built_anew(
    home: Path, start_builder: Start, client: Connect
) -> None:
    start_builder(home)
    trainer = client()
    dataset_id = trainer.ask("toy")
    first = trainer.wait(dataset_id)
    with (home / "raw" / "toy" / "items.txt").open("r+") as items:
        items.write("ITEM")
    seen = len(trainer.events)
    trainer.ask("toy")
    assert trainer.wait(dataset_id, after=seen)["content_key"] != first["content_key"]


def test_a_missing_archive_is_built_again(
    home: Path, start_builder: Start, client: Connect
) -> None:
    builder = start_builder(home)
    trainer = client()
    dataset_id = trainer.ask("toy")
    first = trainer.wait(dataset_id)
    builder.archives()[0].unlink()
    seen = len(trainer.events)
    trainer.ask("toy")
    second = trainer.wait(dataset_id, after=seen)
    assert second["sha256"] == first["sha256"], "equal content is equal bytes"
    assert builder.archives()


def test_a_damaged_archive_is_quarantined_and_built_again(
    home: Path, start_builder: Start, client: Connect
) -> None:
    builder = start_builder(home)
    trainer = client()
    dataset_id = trainer.ask("toy")
    first = trainer.wait(dataset_id)
    (archive,) = builder.archives()
    damaged = bytearray(archive.read_bytes())
    damaged[-100] ^= 1
    archive.write_bytes(damaged)
    seen = len(trainer.events)
    trainer.ask("toy")
    second = trainer.wait(dataset_id, after=seen)
    assert second["sha256"] == first["sha256"]
    assert hashlib.sha256(archive.read_bytes()).hexdigest() == first["sha256"]
    assert (home / "store" / "quarantine" / archive.name).read_bytes() == bytes(damaged)
