"""A training that reads a dataset while it is built: with TensorFlow and without, the same."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import tensorflow as tf

import datamill
from datamill.early import split_files
from datamill.errors import DatamillError, RequestFailed
from datamill.events import Event, Failed, Progress, Reason
from datamill.request import Request
from tests.support.archives import pack
from tests.support.file_server import FileServer
from tests.support.played_builder import Answer, PlayedBuilder
from tests.tensorflow.playing import (
    SPLITS,
    TRAIN,
    VALIDATION,
    environment,
    planned,
    play,
    server,
    shard_done,
)

__all__ = ["environment", "play", "server"]

ARCHIVE = pack(SPLITS)
SHARDS = len(ARCHIVE.manifest.shards)
COUNTS = {"train": len(TRAIN), "validation": len(VALIDATION)}
WATCHED_SECS = 2.0
"""So long a reader that waits is watched."""
BUSY_SHARE = 0.2
"""What a reader that waits may take of a processor, at most, beside what plays the builder."""

Read = Callable[..., Iterator[dict[str, Any]]]


def with_tensorflow(dataset: datamill.Dataset, **options: Any) -> Iterator[dict[str, Any]]:
    return iter(dataset.as_dataset(**options))


def with_numpy(dataset: datamill.Dataset, **options: Any) -> Iterator[dict[str, Any]]:
    return dataset.as_numpy(**options)


readers = pytest.mark.parametrize("read", [with_tensorflow, with_numpy])


@pytest.fixture
def builder(play: Callable[[Answer], PlayedBuilder]) -> PlayedBuilder:
    """One that plans what is asked for, and then does what a test says."""
    return play(lambda request, _id: [planned(request.dataset_id, ARCHIVE, splits=COUNTS)])


@pytest.fixture
def dataset(builder: PlayedBuilder) -> datamill.Dataset:
    return datamill.request_dataset("toy", "1.0.0", {})


@pytest.fixture
def made(
    builder: PlayedBuilder, dataset: datamill.Dataset, server: FileServer
) -> Callable[..., None]:
    """Announce shards by their numbers."""

    def announce(*indexes: int) -> None:
        builder.publish(*(shard_done(dataset.id, ARCHIVE, index, server) for index in indexes))

    return announce


def take(records: Iterator[dict[str, Any]], count: int) -> list[int]:
    return [int(next(records)["number"]) for _ in range(count)]


def failed(dataset: datamill.Dataset) -> Failed:
    return Failed(
        dataset_id=dataset.id, reason=Reason.BAD_DATA, message="too many are bad", retryable=False
    )


def known(dataset: datamill.Dataset, condition: Callable[[], bool]) -> None:
    assert dataset.tracker.wait_until(condition, 20)


@readers
def test_every_record_of_a_shard_comes_before_the_next_is_built(
    read: Read, dataset: datamill.Dataset, made: Callable[..., None]
) -> None:
    records = read(dataset)
    for index in range(4):
        made(index)
        assert take(records, 5) == TRAIN[5 * index : 5 * (index + 1)]


@readers
def test_a_shard_that_comes_damaged_is_fetched_again(
    read: Read, builder: PlayedBuilder, dataset: datamill.Dataset, server: FileServer
) -> None:
    first = shard_done(dataset.id, ARCHIVE, 0, server)
    path = f"/datasets/{dataset.id}/shards/0"
    server.files[path].bodies.append(bytes(first.bytes))
    builder.publish(first)
    assert take(read(dataset), 5) == TRAIN[:5]
    assert server.count(path) == 2


@readers
def test_a_reader_that_is_faster_than_the_build_waits_without_spinning(
    read: Read, dataset: datamill.Dataset, made: Callable[..., None]
) -> None:
    made(0)
    records = read(dataset, repeat=True)
    take(records, 5)
    seen: list[int] = []
    reading = threading.Thread(target=lambda: seen.extend(take(records, 5)))
    reading.start()
    cpu, began = time.process_time(), time.monotonic()
    reading.join(WATCHED_SECS)
    share = (time.process_time() - cpu) / (time.monotonic() - began)
    assert reading.is_alive() and not seen
    made(1)
    reading.join(20)
    assert seen == TRAIN[5:10]
    assert share < BUSY_SHARE


@readers
def test_a_reader_that_waits_can_be_given_up(
    read: Read, dataset: datamill.Dataset, made: Callable[..., None]
) -> None:
    made(0)
    records = read(dataset)
    take(records, 5)
    began = time.monotonic()
    del records  # TensorFlow ends its threads here, one of which waits for the build
    assert time.monotonic() - began < 15


@readers
def test_a_build_that_fails_ends_the_iteration_with_its_reason(
    read: Read, builder: PlayedBuilder, dataset: datamill.Dataset, made: Callable[..., None]
) -> None:
    made(0)
    records = read(dataset)
    assert take(records, 5) == TRAIN[:5], "what was built before is read"
    builder.publish(failed(dataset))
    # TensorFlow wraps whatever its iterators run into.
    with pytest.raises((RequestFailed, tf.errors.OpError)) as error:
        next(records)
    assert "RequestFailed: bad_data: too many are bad" in f"RequestFailed: {error.value}"
    if isinstance(error.value, RequestFailed):
        assert error.value.reason == "bad_data"
    else:
        assert "RequestFailed" in str(error.value)


@readers
def test_later_epochs_need_no_service(
    read: Read,
    play: Callable[[Answer], PlayedBuilder],
    environment: object,
) -> None:
    """Neither builder nor file server: nothing is fetched twice, the archive included."""

    def answer(request: Request, _id: str) -> list[Event]:
        return [planned(request.dataset_id, ARCHIVE, splits=COUNTS)]

    with FileServer() as server:
        builder = play(answer)
        dataset = datamill.request_dataset("toy", "1.0.0", {})
        builder.publish(*(shard_done(dataset.id, ARCHIVE, n, server) for n in range(SHARDS)))
        records = read(dataset, repeat=3)
        assert take(records, len(TRAIN)) == TRAIN
        builder.publish(ARCHIVE.ready(dataset.id, server.url))
        known(dataset, lambda: dataset.tracker.ready is not None)
    assert take(records, 2 * len(TRAIN)) == TRAIN * 2
    with pytest.raises(StopIteration):
        next(records)
    assert take(read(dataset), len(TRAIN)) == TRAIN, "and an iteration that is begun now"


def test_the_plan_says_how_many_records_there_will_be(dataset: datamill.Dataset) -> None:
    assert dataset.expected_records() == 20
    assert dataset.expected_records("validation") == 6
    with pytest.raises(DatamillError, match="no split 'test'; this dataset has train, validation"):
        dataset.expected_records("test")


def test_a_plan_that_does_not_say(play: Callable[[Answer], PlayedBuilder]) -> None:
    play(lambda request, _id: [planned(request.dataset_id, ARCHIVE)])
    assert datamill.request_dataset("toy", "1.0.0", {}).expected_records() is None


def test_a_dataset_that_is_ready_has_no_plan(
    play: Callable[[Answer], PlayedBuilder], server: FileServer
) -> None:
    server.add(f"/datasets/{ARCHIVE.name}", ARCHIVE.body)
    play(lambda request, _id: [ARCHIVE.ready(request.dataset_id, server.url)])
    dataset = datamill.request_dataset("toy", "1.0.0", {})
    assert dataset.expected_records("validation") == 6
    assert dataset.folder.is_dir(), "it was fetched for that"


def test_how_many_records_there_are_is_certain_once_all_shards_are_built(
    builder: PlayedBuilder, dataset: datamill.Dataset, made: Callable[..., None], server: FileServer
) -> None:
    """The plan counts source items that turn out to be bad: TensorFlow is not told of it."""
    builder.publish(planned(dataset.id, ARCHIVE, splits={"train": 23, "validation": 6}, records=29))
    known(dataset, lambda: (p := dataset.tracker.planned) is not None and p.records == 29)
    assert dataset.expected_records() == 23
    assert int(dataset.as_dataset().cardinality()) == tf.data.UNKNOWN_CARDINALITY
    made(*range(SHARDS))
    known(dataset, lambda: len(dataset.tracker.shards) == SHARDS)
    assert dataset.expected_records() == 20
    assert int(dataset.as_dataset(batch_size=8).cardinality()) == 3
    assert len(list(dataset.as_dataset(batch_size=8))) == 3
    server.add(f"/datasets/{ARCHIVE.name}", ARCHIVE.body)
    builder.publish(ARCHIVE.ready(dataset.id, server.url))
    dataset.wait()
    assert dataset.expected_records() == 20
    with pytest.raises(DatamillError, match="no split 'test'; this dataset has train, validation"):
        dataset.expected_records("test")
    assert int(dataset.as_dataset().cardinality()) == 20


def test_how_far_ahead_the_build_is(
    builder: PlayedBuilder,
    dataset: datamill.Dataset,
    made: Callable[..., None],
    server: FileServer,
    caplog: pytest.LogCaptureFixture,
) -> None:
    known(dataset, lambda: dataset.tracker.planned is not None)
    before = dataset.progress
    assert (before.shards, before.shards_done, before.shards_ahead) == (SHARDS, 0, 0)
    assert before.records_per_sec is None and before.secs_left is None
    made(0, 1, 2)
    told = Progress(
        dataset_id=dataset.id,
        shards_done=3,
        shards=SHARDS,
        records_done=15,
        records_per_sec=7.5,
        secs_left=1.5,
    )
    builder.publish(told)
    known(dataset, lambda: dataset.tracker.progress is not None)
    files = split_files(dataset, "train")
    next(files)
    now = dataset.progress
    assert (now.shards_done, now.shards_ahead) == (3, 2)
    assert (now.records_per_sec, now.secs_left) == (7.5, 1.5)
    next(files), next(files)
    with caplog.at_level(logging.INFO, "datamill.early"):
        waiting = threading.Thread(target=next, args=(files,))
        waiting.start()
        assert _said(caplog, f"{dataset.id[:12]}: read 3 shards; waiting for the build, which")
        assert dataset.progress.shards_ahead == 0
        made(3)
        waiting.join(20)
    builder.publish(ARCHIVE.ready(dataset.id, server.url))
    known(dataset, lambda: dataset.tracker.ready is not None)
    end = dataset.progress
    assert (end.shards, end.shards_done, end.secs_left) == (SHARDS, SHARDS, 0.0)


def _said(caplog: pytest.LogCaptureFixture, words: str) -> bool:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        if words in caplog.text:
            return True
        time.sleep(0.01)
    return False
