"""Whole flows by the contracts alone: a plain AMQP client, a real broker, a real builder."""

from __future__ import annotations

import hashlib
import json
import signal
import threading
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import func, select

from datamill.archive.manifest import Manifest
from datamill.records import read_records
from datamill_builder.catalog import schema, tasks
from tests.support.builder import BuilderProcess
from tests.support.listener import PlainClient
from tests.support.toy import SOURCE, make_toy, write_items

Start = Callable[..., BuilderProcess]
Connect = Callable[[], PlainClient]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home with the toy handler's wheel and twenty source items."""
    home = tmp_path / "home"
    make_toy(home / "wheels")
    write_items(home / "raw", [f"item {number}" for number in range(20)])
    return home


def manifest_of(archive: Path) -> Manifest:
    with zipfile.ZipFile(archive) as opened:
        return Manifest.decode(opened.read("manifest.json"))


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
    manifest = manifest_of(archive)
    assert manifest.config == {"repeat": 2, "prefix": "", "max_bad_share": 0.01, "max_items": None}
    assert sum(shard.records for shard in manifest.shards) == 40
    planned = trainer.wait(dataset_id, "planned")
    assert (planned["records"], planned["shards"]) == (40, 10)
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


@pytest.mark.parametrize(
    ("name", "version", "config", "reason", "words"),
    [
        ("toy", "1.0.0", {"repaet": 2}, "invalid_config", ["repaet", "repeat, prefix"]),
        ("toy", "1.0.0", {"repeat": 99}, "invalid_config", ["repeat", "99", "from 1 to 10"]),
        ("toy", "7.7.7", {}, "unknown_handler", ["toy", "7.7.7", "1.0.0"]),
        ("nothing", "1.0.0", {}, "unknown_dataset", ["nothing"]),
        ("toy", "1.0.0", {"prefix": "x" * 70_000}, "invalid_request", ["65536"]),
    ],
)
def test_what_cannot_be_met_is_refused_with_a_reason(
    home: Path,
    start_builder: Start,
    client: Connect,
    name: str,
    version: str,
    config: dict[str, object],
    reason: str,
    words: list[str],
) -> None:
    start_builder(home)
    trainer = client()
    failed = trainer.wait(trainer.ask(name, version, config))
    assert (failed["event"], failed["reason"]) == ("failed", reason)
    assert failed["retryable"] is False
    for word in words:
        assert word in failed["message"]


def test_raw_data_that_is_missing_is_named(
    home: Path, start_builder: Start, client: Connect
) -> None:
    (home / "raw" / "toy" / "items.txt").unlink()
    (home / "raw" / "toy").rmdir()
    (home / "raw" / "other").mkdir()
    start_builder(home)
    trainer = client()
    failed = trainer.wait(trainer.ask("toy"))
    assert failed["reason"] == "unknown_dataset"
    assert "other" in failed["message"]


def test_poison_is_dead_lettered_at_once_and_stops_nobody(
    home: Path, start_builder: Start, client: Connect
) -> None:
    start_builder(home)
    trainer = client()
    poison = [
        b"",
        b"\xff\xfe",
        b"{",
        b'{"dataset_name": NaN}',
        b'{"dataset_name": "toy", "dataset_name": "toy"}',
        b"[" * 100_000,
        b"1" * 5_000,
        b'{"dataset_name": "toy", "handler_version": "1.0.0", "dataset_config": {"a": "\\ud800"}}',
        b'{"dataset_name": "../etc", "handler_version": "1.0.0", "dataset_config": {}}',
        b'{"dataset_name": "toy", "handler_version": "2", "dataset_config": {}, "shell": "rm"}',
    ]
    for body in poison:
        trainer.send(body)
    assert trainer.wait(trainer.ask("toy"))["event"] == "ready"
    deadline = time.monotonic() + 10
    while trainer.depth("dataset.dead.v1") < len(poison) and time.monotonic() < deadline:
        trainer.listen(0.05)
    assert trainer.depth("dataset.dead.v1") == len(poison)
    answered = [event for event in trainer.events if event.get("reason") == "invalid_request"]
    assert len(answered) == 2, "those whose three fields can be told are answered"
    assert any("shell" in event["message"] for event in answered)


def test_bad_items_are_skipped_and_listed(
    home: Path, start_builder: Start, client: Connect
) -> None:
    write_items(home / "raw", [f"item {n}" for n in range(199)] + ["bad apple"])
    builder = start_builder(home)
    trainer = client()
    ready = trainer.wait(trainer.ask("toy"))
    assert (ready["event"], ready["records"]) == ("ready", 199)
    manifest = manifest_of(builder.archives()[0])
    assert [(item.key, item.reason) for item in manifest.skipped] == [
        ("00199 bad apple", "the line says so")
    ]


def test_too_many_bad_items_fail_the_build(
    home: Path, start_builder: Start, client: Connect
) -> None:
    write_items(home / "raw", ["bad apple", "bad pear"] + [f"item {n}" for n in range(18)])
    builder = start_builder(home)
    trainer = client()
    failed = trainer.wait(trainer.ask("toy"))
    assert failed["reason"] == "bad_data"
    assert "bad apple" in failed["message"] or "bad pear" in failed["message"]
    assert not builder.archives()


def test_a_handler_that_raises_fails_its_build_with_a_traceback(
    home: Path, start_builder: Start, client: Connect
) -> None:
    write_items(home / "raw", ["item 1", "crash now"])
    builder = start_builder(home)
    trainer = client()
    failed = trainer.wait(trainer.ask("toy"))
    assert failed["reason"] == "handler_error"
    assert "RuntimeError: the line says crash" in failed["message"]
    assert "toy_handlers.py" in failed["message"]
    assert "writing" in builder.log(), "what a handler prints is in the log"
    write_items(home / "raw", ["item 1"])
    again = trainer.wait(trainer.ask("toy", config={"prefix": "other"}))
    assert again["event"] == "ready", "a failed build stops nobody else"


def test_a_handler_that_is_killed_costs_retries_then_its_build(
    home: Path, start_builder: Start, client: Connect
) -> None:
    write_items(home / "raw", ["die please"])
    builder = start_builder(home, DATAMILL_SHARD_ATTEMPTS="2")
    trainer = client()
    failed = trainer.wait(trainer.ask("toy"))
    assert failed["reason"] == "handler_error"
    assert "SIGKILL" in failed["message"] and "2 times" in failed["message"]
    assert builder.process is not None and builder.process.poll() is None


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


def test_a_killed_builder_costs_the_shards_in_hand_only(
    home: Path, start_builder: Start, client: Connect
) -> None:
    write_items(home / "raw", [f"item {n}" for n in range(40)] + ["sleep 1.5 zzz"] * 8)
    builder = start_builder(home)
    trainer = client()
    dataset_id = trainer.ask("toy")
    for _ in range(3):
        seen = len(trainer.events)
        trainer.wait(dataset_id, "shard", after=seen)
    builder.kill()
    catalog = builder.catalog
    with catalog.read() as connection:
        done = tasks.count(connection, tasks.TaskKind.SHARD, _key(trainer), tasks.TaskState.DONE)
    builder.start()
    ready = trainer.wait(dataset_id)
    with catalog.read() as connection:
        attempts = connection.scalars(
            select(schema.tasks.c.attempts).where(schema.tasks.c.kind == "shard")
        ).all()
    catalog.close()
    assert ready["event"] == "ready"
    assert ready["records"] == 48
    assert done >= 3
    assert sum(attempts) <= len(attempts) + 2, "only what was in hand was done again"


def _key(trainer: PlainClient) -> str:
    planned = next(event for event in trainer.events if event["event"] == "planned")
    return str(planned["content_key"])


def test_a_stopping_builder_hands_back_and_exits_0(
    home: Path, start_builder: Start, client: Connect
) -> None:
    write_items(home / "raw", ["sleep 30 zzz"] * 2)
    builder = start_builder(home, DATAMILL_STOP_GRACE_SECS="0.5")
    trainer = client()
    dataset_id = trainer.ask("toy")
    trainer.wait(dataset_id, "planned")
    began = time.monotonic()
    _until_leased(builder)
    assert builder.stop() == 0
    assert time.monotonic() - began < 12
    catalog = builder.catalog
    with catalog.read() as connection:
        rows = connection.execute(
            select(schema.tasks.c.state, schema.tasks.c.attempts).where(
                schema.tasks.c.kind == "shard"
            )
        ).all()
    catalog.close()
    assert [tuple(row) for row in rows] == [("pending", 0)]


def _until_leased(builder: BuilderProcess, timeout_secs: float = 20.0) -> None:
    catalog = builder.catalog
    deadline = time.monotonic() + timeout_secs
    while time.monotonic() < deadline:
        with catalog.read() as connection:
            if any(task for task in tasks.leased(connection)):
                catalog.close()
                return
        time.sleep(0.02)
    raise AssertionError("no shard was claimed")


def test_a_paused_builder_cannot_publish_what_another_has_done(
    home: Path, start_builder: Start, client: Connect
) -> None:
    write_items(home / "raw", ["sleep 2 zzz"])
    settings = {"DATAMILL_LEASE_SECS": "1.5", "DATAMILL_WORKERS": "1"}
    paused = start_builder(home, **settings)
    trainer = client()
    dataset_id = trainer.ask("toy")
    trainer.wait(dataset_id, "planned")
    _until_leased(paused)
    paused.signal(signal.SIGSTOP)
    other = start_builder(home, **settings)
    ready = trainer.wait(dataset_id)
    assert ready["event"] == "ready"
    paused.signal(signal.SIGCONT)
    trainer.listen(4.0)
    assert trainer.seen(dataset_id).count("ready") == 1
    assert trainer.seen(dataset_id).count("shard") == 1
    assert paused.process is not None and paused.process.poll() is None, "it lives on"
    other.stop()
    assert trainer.wait(trainer.ask("toy", config={"prefix": "new"}))["event"] == "ready"


def test_a_small_build_is_not_starved_by_a_large_one(
    home: Path, start_builder: Start, client: Connect
) -> None:
    write_items(home / "raw", ["sleep 0.3 zzz"] * 400)
    start_builder(home)
    trainer = client()
    large = trainer.ask("toy")
    trainer.wait(large, "shard")
    small = trainer.ask("toy", config={"max_items": 2})
    assert trainer.wait(small, timeout_secs=30)["event"] == "ready"
    assert "ready" not in trainer.seen(large)


def test_a_cancelled_build_is_told_and_goes_on_when_asked_again(
    home: Path, start_builder: Start, client: Connect
) -> None:
    from datamill_builder.catalog import lifecycle

    write_items(home / "raw", [f"item {n}" for n in range(12)] + ["sleep 2 zzz"] * 4)
    builder = start_builder(home)
    trainer = client()
    dataset_id = trainer.ask("toy")
    trainer.wait(dataset_id, "shard")
    catalog = builder.catalog
    with catalog.write() as change:
        assert lifecycle.cancel(change, dataset_id)
    failed = trainer.wait(dataset_id, "failed")
    assert (failed["reason"], failed["retryable"]) == ("cancelled", True)
    trainer.listen(1.2)  # a request within a second of a failure came for the same try
    done_before = trainer.seen(dataset_id).count("shard")
    seen = len(trainer.events)
    trainer.ask("toy")
    assert trainer.wait(dataset_id, after=seen)["event"] == "ready"
    assert trainer.seen(dataset_id).count("shard") <= 4 + 1
    assert done_before >= 1
    catalog.close()


def test_deleting_every_queue_costs_only_time(
    home: Path, start_builder: Start, client: Connect
) -> None:
    write_items(home / "raw", ["sleep 0.3 zzz"] * 40)
    start_builder(home)
    trainer = client()
    dataset_id = trainer.ask("toy")
    trainer.wait(dataset_id, "shard")
    for queue in ("dataset.shards.v1", "dataset.builds.v1", "dataset.requests.v1"):
        trainer._channel.queue_delete(queue)
    assert trainer.wait(dataset_id, timeout_secs=60)["event"] == "ready"


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
        manifest_of(home / "store" / "archives" / event["archive"]).provenance.packages["pillow"]
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
        for shard in manifest_of(
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
