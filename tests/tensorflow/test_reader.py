"""Readers know where they are: what comes after a restart is what would have come."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tensorflow as tf

import datamill
from datamill import split_records
from datamill.errors import DatamillError, OtherDataset, RecordError, RequestFailed
from datamill.events import Failed, Reason
from datamill.reader import Reader
from datamill.records import FRAMING_BYTES
from tests.support.archives import PackedArchive, example, pack, tfrecords
from tests.support.file_server import FileServer
from tests.support.played_builder import Answer, PlayedBuilder
from tests.tensorflow.playing import (
    SPLITS,
    TRAIN,
    VALIDATION,
    environment,
    planned,
    play,
    ready,
    server,
    shard_done,
)

__all__ = ["environment", "play", "ready", "server"]

Ready = Callable[[PackedArchive], datamill.Dataset]
Open = Callable[..., Reader]

ARCHIVE = pack(SPLITS)
COUNTS = {"train": len(TRAIN), "validation": len(VALIDATION)}
SHUFFLES = [False, 6, True]


def with_numpy(dataset: datamill.Dataset, *arguments: Any, **options: Any) -> Reader:
    return dataset.reader(*arguments, **options)


def with_tensorflow(dataset: datamill.Dataset, *arguments: Any, **options: Any) -> Reader:
    return dataset.tf_reader(*arguments, **options)


readers = pytest.mark.parametrize("read", [with_numpy, with_tensorflow])


@pytest.fixture
def dataset(ready: Ready) -> datamill.Dataset:
    dataset = ready(ARCHIVE)
    dataset.wait()
    return dataset


def numbers(records: Any) -> list[int]:
    return [int(record["number"]) for record in records]


def batches(records: Any) -> list[list[int]]:
    return [list(map(int, batch["number"])) for batch in records]


@readers
def test_epochs_one_by_one(read: Open, dataset: datamill.Dataset) -> None:
    reader = read(dataset)
    assert reader.position == (0, 0)
    assert numbers(reader) == TRAIN
    assert reader.position == (1, 0)
    assert numbers(reader) == TRAIN
    assert reader.epoch == 2
    batched = read(dataset, "validation", batch_size=4)
    assert batches(batched) == [VALIDATION[:4], VALIDATION[4:]]
    assert "validation, epoch 1, record 0" in repr(batched)


@readers
@pytest.mark.parametrize("shuffle", SHUFFLES)
def test_a_loop_that_is_left_is_gone_on_with(
    read: Open, dataset: datamill.Dataset, shuffle: bool | int
) -> None:
    whole = read(dataset, shuffle=shuffle, seed=1)
    expected = numbers(whole)
    reader = read(dataset, shuffle=shuffle, seed=1)
    seen: list[int] = []
    for record in reader:
        seen.append(int(record["number"]))
        if len(seen) == 3:
            break
    seen += numbers(itertools.islice(reader, 4))
    assert reader.position == (0, 7)
    assert seen + numbers(reader) == expected
    assert numbers(reader) == numbers(whole)


@readers
@pytest.mark.parametrize("shuffle", SHUFFLES)
def test_every_place_of_two_epochs_can_be_gone_on_from(
    read: Open, dataset: datamill.Dataset, shuffle: bool | int
) -> None:
    reader = read(dataset, shuffle=shuffle, seed=3)
    states = [reader.state_dict()]
    seen: list[int] = []
    while reader.epoch < 2:
        for record in reader:
            seen.append(int(record["number"]))
            states.append(reader.state_dict())
    assert sorted(seen[:20]) == sorted(seen[20:]) == sorted(TRAIN)
    assert (seen[:20] == seen[20:]) is (shuffle is False), "a new order in each epoch"
    later = read(dataset, shuffle=shuffle, seed=3)
    for place, state in enumerate(states):
        later.load_state_dict(state)
        rest = []
        while later.epoch < 2:
            rest += numbers(later)
        assert rest == seen[place:]


@readers
def test_batches_may_have_another_size_after_a_restart(
    read: Open, dataset: datamill.Dataset
) -> None:
    whole = numbers(read(dataset, shuffle=True, seed=1))
    reader = read(dataset, batch_size=6, shuffle=True, seed=1)
    assert batches(itertools.islice(reader, 2)) == [whole[:6], whole[6:12]]
    later = read(dataset, batch_size=5, shuffle=True, seed=1)
    later.load_state_dict(reader.state_dict())
    assert batches(later) == [whole[12:17], whole[17:]]


@readers
def test_a_place_may_be_loaded_within_a_loop(read: Open, dataset: datamill.Dataset) -> None:
    reader = read(dataset)
    begin = reader.state_dict()
    seen: list[int] = []
    for record in reader:
        seen.append(int(record["number"]))
        if len(seen) == 3:
            reader.load_state_dict(begin)
    assert seen == TRAIN[:3] + TRAIN


@readers
def test_both_worlds_and_as_numpy_have_one_order(read: Open, dataset: datamill.Dataset) -> None:
    reader = read(dataset, shuffle=7, seed=11)
    assert numbers(reader) + numbers(reader) == numbers(
        dataset.as_numpy(shuffle=7, seed=11, repeat=2)
    )


def test_a_state_goes_from_one_world_to_the_other(dataset: datamill.Dataset) -> None:
    reader = dataset.reader(shuffle=True, seed=2)
    expected = numbers(dataset.reader(shuffle=True, seed=2))
    assert numbers(itertools.islice(reader, 8)) == expected[:8]
    other = dataset.tf_reader(shuffle=True, seed=2)
    other.load_state_dict(reader.state_dict())
    assert numbers(other) == expected[8:]


@readers
def test_a_seed_that_was_not_given_is_part_of_the_state(
    read: Open, dataset: datamill.Dataset
) -> None:
    first, second = read(dataset, shuffle=True), read(dataset, shuffle=True)
    assert first.seed != second.seed
    seen = numbers(itertools.islice(first, 5))
    second.load_state_dict(first.state_dict())
    assert second.seed == first.seed
    rest = numbers(second)
    assert rest == numbers(first) and sorted(seen + rest) == sorted(TRAIN)


@readers
def test_another_dataset_split_or_order_is_refused(
    read: Open, dataset: datamill.Dataset, server: FileServer
) -> None:
    reader = read(dataset, shuffle=True, seed=1)
    numbers(itertools.islice(reader, 5))
    state = reader.state_dict()
    other = datamill.request_dataset("toy", "1.0.0", {"seed": 1})
    with pytest.raises(OtherDataset) as error:
        read(other, shuffle=True, seed=1).load_state_dict(state)
    assert dataset.id in str(error.value) and other.id in str(error.value)
    for arguments, told in (
        ({"split": "validation", "shuffle": True, "seed": 1}, "'train', and this reader's 'valid"),
        ({"shuffle": 3, "seed": 1}, "shuffle is 10000, and this reader's 3"),
        ({"shuffle": True, "seed": 2}, "seed is 1, and this reader's 2"),
    ):
        refusing = read(dataset, **arguments)
        with pytest.raises(OtherDataset, match=told):
            refusing.load_state_dict(state)
        assert refusing.position == (0, 0), "it is as before"
    with pytest.raises(OtherDataset, match="built anew from other raw data"):
        read(dataset, shuffle=True, seed=1).load_state_dict(state | {"content_key": "0" * 64})


@readers
def test_a_split_that_does_not_exist(read: Open, dataset: datamill.Dataset) -> None:
    with pytest.raises(DatamillError, match="this dataset has train, validation"):
        list(read(dataset, "test"))


@readers
def test_what_is_skipped_is_not_read(read: Open, dataset: datamill.Dataset) -> None:
    """The first two shards are zeros now, and can't be read any more."""
    reader = read(dataset)
    numbers(itertools.islice(reader, 12))
    state = reader.state_dict()
    for path in map(Path, dataset.files()[:2]):
        path.write_bytes(bytes(path.stat().st_size))
    later = read(dataset)
    later.load_state_dict(state)
    assert numbers(later) == TRAIN[12:]
    for _attempt in range(2):  # an error ends no epoch
        with pytest.raises(RecordError, match="is no TFRecord file, or is damaged, at byte 0"):
            list(later)
        assert later.position == (1, 0)


@readers
def test_only_what_is_shuffled_to_a_later_place_is_decoded(
    read: Open, dataset: datamill.Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = read(dataset, shuffle=True, seed=1).state_dict() | {"record": 15}
    loaded: list[int] = []
    payload = split_records.SplitRecords.payload

    def counting(self: split_records.SplitRecords, number: int) -> bytes:
        loaded.append(number)
        return payload(self, number)

    monkeypatch.setattr(split_records.SplitRecords, "payload", counting)
    later = read(dataset, shuffle=True, seed=1)
    later.load_state_dict(state)
    rest = numbers(later)
    assert sorted(TRAIN[number] for number in loaded) == sorted(rest)
    assert len(rest) == 5


@readers
def test_more_files_than_may_be_open(
    read: Open, ready: Ready, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(split_records, "_OPEN_FILES", 2)
    shards = [[example(number=n, text=b"")] for n in range(30)]
    dataset = ready(pack({"train": shards}))
    seen = numbers(read(dataset, shuffle=True, seed=1))
    assert sorted(seen) == list(range(30)) and seen != list(range(30))


def test_empty_shards(ready: Ready) -> None:
    shards = [[], [example(number=0, text=b"")], [], [example(number=1, text=b"")], []]
    dataset = ready(pack({"train": shards}))
    assert numbers(dataset.reader()) == numbers(dataset.tf_reader()) == [0, 1]


def test_a_shard_that_holds_other_than_its_manifest_says(dataset: datamill.Dataset) -> None:
    path = Path(dataset.files()[0])
    path.write_bytes(tfrecords([b"", b"", b"", bytes(path.stat().st_size - 4 * FRAMING_BYTES)]))
    with pytest.raises(RecordError, match="has 4 records; its manifest says 5"):
        list(dataset.reader())


@readers
def test_training_and_validation_in_turns(read: Open, dataset: datamill.Dataset) -> None:
    """The validation in between does not start the training data over."""
    train = read(dataset, batch_size=3, shuffle=True, seed=5)
    validation = read(dataset, "validation", batch_size=4)
    seen: list[int] = []
    validated = 0
    while train.epoch < 2:
        for batch in itertools.islice(train, 2):
            seen += map(int, batch["number"])
        assert [*itertools.chain(*batches(validation))] == VALIDATION
        validated += 1
    assert validated == validation.epoch == 8
    undisturbed = read(dataset, shuffle=True, seed=5)
    assert seen == numbers(undisturbed) + numbers(undisturbed)


# --- while the build runs ---


@pytest.fixture
def builder(play: Callable[[Answer], PlayedBuilder]) -> PlayedBuilder:
    return play(lambda request, _id: [planned(request.dataset_id, ARCHIVE, splits=COUNTS)])


@pytest.fixture
def unfinished(builder: PlayedBuilder) -> datamill.Dataset:
    return datamill.request_dataset("toy", "1.0.0", {})


@pytest.fixture
def made(
    builder: PlayedBuilder, unfinished: datamill.Dataset, server: FileServer
) -> Callable[..., None]:
    def announce(*indexes: int) -> None:
        builder.publish(*(shard_done(unfinished.id, ARCHIVE, i, server) for i in indexes))

    return announce


@readers
@pytest.mark.parametrize("shuffle", [False, 6])
def test_a_restart_while_the_build_runs(
    read: Open,
    builder: PlayedBuilder,
    unfinished: datamill.Dataset,
    made: Callable[..., None],
    server: FileServer,
    shuffle: bool | int,
) -> None:
    made(0, 1, 2)
    first = read(unfinished, shuffle=shuffle, seed=4)
    seen = numbers(itertools.islice(first, 7))
    state = first.state_dict()
    assert state["content_key"] == ARCHIVE.manifest.content_key
    later = read(unfinished, shuffle=shuffle, seed=4)
    later.load_state_dict(state)
    seen += numbers(itertools.islice(later, 2))
    made(3, 4, 5)
    seen += numbers(later)
    server.add(f"/datasets/{ARCHIVE.name}", ARCHIVE.body)
    builder.publish(ARCHIVE.ready(unfinished.id, server.url))
    unfinished.wait()
    assert seen == numbers(read(unfinished, shuffle=shuffle, seed=4))


@readers
def test_shards_before_the_place_are_not_fetched(
    read: Open, unfinished: datamill.Dataset, made: Callable[..., None], server: FileServer
) -> None:
    made(0, 1, 2, 3)
    reader = read(unfinished)
    reader.load_state_dict(reader.state_dict() | {"record": 11})
    assert numbers(itertools.islice(reader, 9)) == TRAIN[11:]
    fetched = [server.count(f"/datasets/{unfinished.id}/shards/{index}") for index in range(4)]
    assert fetched == [0, 0, 1, 1]


@readers
def test_a_shard_that_is_gone_comes_out_of_the_archive(
    read: Open,
    builder: PlayedBuilder,
    unfinished: datamill.Dataset,
    made: Callable[..., None],
    server: FileServer,
) -> None:
    made(0, 1)
    reader = read(unfinished)
    assert numbers(itertools.islice(reader, 5)) == TRAIN[:5]
    del server.files[f"/datasets/{unfinished.id}/shards/1"]
    server.add(f"/datasets/{ARCHIVE.name}", ARCHIVE.body)
    builder.publish(ARCHIVE.ready(unfinished.id, server.url))
    assert numbers(reader) == TRAIN[5:]


@readers
def test_a_build_that_fails_is_told_with_its_reason(
    read: Open, builder: PlayedBuilder, unfinished: datamill.Dataset, made: Callable[..., None]
) -> None:
    made(0)
    reader = read(unfinished)
    assert numbers(itertools.islice(reader, 5)) == TRAIN[:5]
    builder.publish(
        Failed(
            dataset_id=unfinished.id, reason=Reason.BAD_DATA, message="too many", retryable=False
        )
    )
    with pytest.raises(RequestFailed, match="bad_data: too many") as error:
        next(iter(reader))
    assert error.value.reason == "bad_data"
    assert reader.position == (0, 5)


@readers
def test_a_reader_that_waits_can_be_given_up(
    read: Open, unfinished: datamill.Dataset, made: Callable[..., None]
) -> None:
    made(0)
    reader: Reader | None = read(unfinished)
    assert reader is not None
    assert numbers(itertools.islice(reader, 5)) == TRAIN[:5]
    began = time.monotonic()
    del reader
    assert time.monotonic() - began < 15


@readers
def test_a_reader_that_is_faster_than_the_build_waits(
    read: Open, unfinished: datamill.Dataset, made: Callable[..., None]
) -> None:
    made(0)
    reader = read(unfinished)
    assert numbers(itertools.islice(reader, 5)) == TRAIN[:5]
    seen: list[int] = []
    reading = threading.Thread(target=lambda: seen.extend(numbers(itertools.islice(reader, 5))))
    reading.start()
    reading.join(1.5)
    assert reading.is_alive() and not seen
    made(1)
    reading.join(20)
    assert seen == TRAIN[5:10]


# --- TensorFlow's checkpoints ---


def test_a_checkpoint_of_tensorflow_holds_the_place(
    dataset: datamill.Dataset, tmp_path: Path
) -> None:
    reader = dataset.tf_reader(batch_size=3, shuffle=True, seed=6)
    weight = tf.Variable(1.0)
    expected = batches(dataset.tf_reader(batch_size=3, shuffle=True, seed=6))
    assert batches(itertools.islice(reader, 2)) == expected[:2]
    saved = tf.train.Checkpoint(weight=weight, data=reader).save(str(tmp_path / "c"))
    assert batches(itertools.islice(reader, 2)) == expected[2:4]

    later = dataset.tf_reader(batch_size=3, shuffle=True, seed=6)
    checkpoint = tf.train.Checkpoint(weight=tf.Variable(0.0), data=later)
    checkpoint.restore(saved).assert_consumed()
    assert float(checkpoint.weight) == 1.0 and later.position == (0, 6)
    assert batches(later) == expected[2:]
    checkpoint.restore(saved)
    assert batches(later) == expected[2:], "back again, after the epoch"


def test_a_checkpoint_of_another_dataset_is_refused(
    dataset: datamill.Dataset, tmp_path: Path
) -> None:
    saved = tf.train.Checkpoint(data=dataset.tf_reader()).save(str(tmp_path / "c"))
    other = datamill.request_dataset("toy", "1.0.0", {"seed": 1})
    with pytest.raises(OtherDataset) as error:
        tf.train.Checkpoint(data=other.tf_reader()).restore(saved)
    assert dataset.id in str(error.value) and other.id in str(error.value)


def test_the_reader_of_arrays_is_no_business_of_tensorflow(dataset: datamill.Dataset) -> None:
    with pytest.raises(ValueError, match="trackable"):
        tf.train.Checkpoint(data=dataset.reader())
