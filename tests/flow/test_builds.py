"""Whole flows by the contracts alone: a plain AMQP client, a real broker, a real builder."""

from __future__ import annotations

import hashlib
import json
import threading
import time
import zipfile
from pathlib import Path

from sqlalchemy import func, select

from datamill.archive import read_manifest
from datamill.records import read_records
from datamill_builder.catalog import schema
from tests.support.builder import Start
from tests.support.listener import Connect, PlainClient
from tests.support.toy import SOURCE, make_toy, write_items


def test_a_request_becomes_an_archive(home: Path, start_builder: Start, client: Connect) -> None:
    builder = start_builder(home)
    trainer = client()
    dataset_id = trainer.ask("toy", config={"repeat": 2})
    ready = trainer.wait(dataset_id)

    assert ready["event"] == "ready", ready
    assert trainer.seen(dataset_id)[0] == "accepted"
    order = [event for event in trainer.seen(dataset_id) if event != "progress"]
    assert order == ["accepted", "planned", *["shard"] * 10, "ready"]
    assert (ready["records"], ready["shards"], ready["cached"]) == (40, 10, False)
    assert ready["url"] == f"http://datamill.test:8080/datasets/{ready['archive']}"

    (archive,) = builder.archives()
    assert archive.name == ready["archive"] == f"toy_1.0.0_{ready['content_key']}.zip"
    assert archive.stat().st_size == ready["bytes"]
    assert hashlib.sha256(archive.read_bytes()).hexdigest() == ready["sha256"]
    manifest = read_manifest(archive)
    assert manifest.config == {"repeat": 2, "prefix": "", "max_bad_share": 0.01, "max_items": None}
    assert sum(shard.records for shard in manifest.shards) == 40
    planned = trainer.wait(dataset_id, "planned")
    assert (planned["records"], planned["shards"]) == (40, 10)
    assert planned["splits"] == {"train": 40}
    assert planned["config"] == manifest.config
    announced = {e["index"]: e for e in trainer.events if e["event"] == "shard"}
    assert [announced[shard.index]["sha256"] for shard in manifest.shards] == [
        shard.sha256 for shard in manifest.shards
    ]
    deadline = time.monotonic() + 5
    while (left := list((home / "store" / "shards").iterdir())) and time.monotonic() < deadline:
        trainer.listen(0.05)
    assert not left, "shards live on in the archive only"


def test_records_are_all_there_once(
    home: Path, start_builder: Start, client: Connect, tmp_path: Path
) -> None:
    builder = start_builder(home)
    trainer = client()
    assert trainer.wait(trainer.ask("toy"))["event"] == "ready"
    (archive,) = builder.archives()
    with zipfile.ZipFile(archive) as opened:
        opened.extractall(tmp_path / "out")
    payloads = [
        payload
        for file in sorted((tmp_path / "out").glob("*.tfrecord-*"))
        for payload in read_records(file)
    ]
    assert len(payloads) == len(set(payloads)) == 20
    for number in range(20):
        assert sum(payload.endswith(f"item {number}".encode()) for payload in payloads) == 1


def test_a_hundred_clients_share_one_build(
    home: Path, start_builder: Start, client: Connect, broker_url: str
) -> None:
    builder = start_builder(home)
    answers: list[dict[str, object]] = []

    def train() -> None:
        trainer = PlainClient(broker_url)
        answers.append(trainer.wait(trainer.ask("toy", config={"prefix": "shared "})))
        trainer.close()

    threads = [threading.Thread(target=train) for _ in range(100)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(answers) == 100
    assert {answer["event"] for answer in answers} == {"ready"}
    assert len({answer["sha256"] for answer in answers}) == 1
    assert len(builder.archives()) == 1
    catalog = builder.catalog
    with catalog.read() as connection:
        assert connection.scalar(select(func.count()).select_from(schema.builds)) == 1
        assert connection.scalar(select(func.count()).select_from(schema.requests)) == 100
        attempts = connection.scalars(select(schema.tasks.c.attempts)).all()
    catalog.close()
    assert set(attempts) == {1}, "no piece of work was done twice"


def test_asking_again_is_a_hit(home: Path, start_builder: Start, client: Connect) -> None:
    start_builder(home)
    trainer = client()
    dataset_id = trainer.ask("toy")
    first = trainer.wait(dataset_id)
    seen = len(trainer.events)
    trainer.ask("toy")
    second = trainer.wait(dataset_id, after=seen)
    assert second["cached"] is True
    for field in ("content_key", "archive", "sha256", "bytes", "records"):
        assert second[field] == first[field]
    accepted = trainer.wait(dataset_id, "accepted", after=seen)
    assert accepted["state"] == "ready"


def test_ids_that_mean_the_same_are_built_once(
    home: Path, start_builder: Start, client: Connect
) -> None:
    builder = start_builder(home)
    trainer = client()
    short = trainer.ask("toy")
    spelled_out = trainer.ask("toy", config={"repeat": 1, "prefix": ""})
    other_version_spelling = trainer.ask("toy", version="1.0")
    keys = {trainer.wait(i)["content_key"] for i in (short, spelled_out, other_version_spelling)}
    assert len({short, spelled_out, other_version_spelling}) == 3
    assert len(keys) == 1
    assert len(builder.archives()) == 1


def test_equal_bytes_whatever_the_number_of_workers(
    home: Path, tmp_path: Path, start_builder: Start, client: Connect
) -> None:
    write_items(home / "raw", [f"item {n}" for n in range(100)])
    digests = []
    for workers in ("1", "4"):
        where = tmp_path / f"home-{workers}"
        builder = start_builder(
            where,
            DATAMILL_WORKERS=workers,
            DATAMILL_RAW_ROOT=str(home / "raw"),
            DATAMILL_HANDLER_SOURCES=str(home / "wheels"),
        )
        trainer = client()
        digests.append(trainer.wait(trainer.ask("toy"))["sha256"])
        builder.stop()
    assert digests[0] == digests[1]


def test_two_versions_with_conflicting_dependencies_build_side_by_side(
    home: Path, start_builder: Start, client: Connect
) -> None:
    for version, pillow in (("2.0.0", "11.3.0"), ("3.0.0", "12.0.0")):
        source = f'import PIL\nassert PIL.__version__ == "{pillow}"\n' + SOURCE
        make_toy(home / "wheels", version, (f"pillow=={pillow}",), source)
    builder = start_builder(home)
    trainer = client()
    asked = [trainer.ask("toy", version) for version in ("2.0.0", "3.0.0")]
    ready = [trainer.wait(dataset_id, timeout_secs=120) for dataset_id in asked]
    assert [event["event"] for event in ready] == ["ready", "ready"]
    versions = [
        read_manifest(home / "store" / "archives" / event["archive"]).provenance.packages["pillow"]
        for event in ready
    ]
    assert versions == ["11.3.0", "12.0.0"]
    assert len(builder.archives()) == 2


def test_the_shipped_handlers_build_real_data(
    shared_data: Path, home: Path, shipped_wheels: Path, start_builder: Start, client: Connect
) -> None:
    builder = start_builder(
        home,
        DATAMILL_RAW_ROOT=str(shared_data),
        DATAMILL_HANDLER_SOURCES=str(shipped_wheels),
    )
    trainer = client()
    published = {
        "input_attributes": ["image"],
        "batch_size": 100,
        "image_size": [1024, 1024],
        "variations_per_sample": 1,
        "crop_size": [800, 800],
        "random_crop_centered": True,
    }
    asked = {
        "duts": trainer.ask("duts", config=published),
        "classification": trainer.ask("classification", config={"validation_share": 0.2}),
        "sample": trainer.ask("duts", config=published | {"max_items": 5}),
    }
    ready = {name: trainer.wait(dataset_id, timeout_secs=120) for name, dataset_id in asked.items()}
    assert {event["event"] for event in ready.values()} == {"ready"}, ready
    assert [ready[name]["records"] for name in asked] == [78, 54, 5]
    splits = {
        shard.split
        for shard in read_manifest(
            home / "store" / "archives" / ready["classification"]["archive"]
        ).shards
    }
    assert splits == {"train", "validation"}
    assert len(builder.archives()) == 3
    assert json.loads(
        zipfile.ZipFile(home / "store" / "archives" / ready["duts"]["archive"]).read(
            "features.json"
        )
    )["featuresDict"]["features"].keys() == {"image", "mask"}
