"""Shuffle, seed, cache and prefetch: with TensorFlow and without, the same."""

from __future__ import annotations

import fcntl
import itertools
import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import datamill
from datamill import numpy_data, tf_cache
from datamill.errors import DatamillError, InvalidOption
from datamill.split_records import SplitRecords
from tests.support.archives import PackedArchive, example, pack
from tests.tensorflow.playing import SPLITS, TRAIN, VALIDATION, environment, play, ready, server

__all__ = ["environment", "play", "ready", "server"]

Read = Callable[..., Iterator[dict[str, Any]]]


@pytest.fixture
def dataset(ready: Callable[[PackedArchive], datamill.Dataset]) -> datamill.Dataset:
    dataset = ready(pack(SPLITS))
    dataset.wait()
    return dataset


def with_tensorflow(dataset: datamill.Dataset, *arguments: Any, **options: Any) -> Any:
    return dataset.as_dataset(*arguments, **options).as_numpy_iterator()


def with_numpy(dataset: datamill.Dataset, *arguments: Any, **options: Any) -> Any:
    return dataset.as_numpy(*arguments, **options)


both = pytest.mark.parametrize("read", [with_tensorflow, with_numpy])


def numbers(records: Any) -> list[int]:
    return [int(record["number"]) for record in records]


def epochs(records: Any, count: int) -> list[list[int]]:
    seen = numbers(records)
    size = len(seen) // count
    return [seen[place : place + size] for place in range(0, len(seen), size)]


@pytest.mark.parametrize(
    "call", ["as_dataset", "as_numpy", "reader", "tf_reader"], ids=lambda name: str(name)
)
def test_nonsense_is_refused_at_once(dataset: datamill.Dataset, call: str) -> None:
    for name, value in (("batch_size", 0), ("shuffle", -1), ("prefetch", 1.5), ("seed", -1)):
        with pytest.raises(InvalidOption, match=f"^{name} is {value}: it must be one of [^\n]*$"):
            getattr(dataset, call)(**{name: value})


def test_arrays_are_kept_in_memory_alone(dataset: datamill.Dataset, tmp_path: Path) -> None:
    for read in (dataset.as_numpy, dataset.reader):
        with pytest.raises(InvalidOption, match="NumPy arrays are kept in memory alone"):
            read(cache=str(tmp_path))  # type: ignore[arg-type]


@both
def test_a_seed_gives_the_same_orders_again(read: Read, dataset: datamill.Dataset) -> None:
    first = epochs(read(dataset, shuffle=True, repeat=3, seed=5), 3)
    assert epochs(read(dataset, shuffle=True, repeat=3, seed=5), 3) == first
    assert all(sorted(epoch) == sorted(TRAIN) for epoch in first)
    assert len(set(map(tuple, first))) == 3, "a new order in each epoch"
    assert epochs(read(dataset, shuffle=True, repeat=3, seed=6), 3) != first
    assert numbers(read(dataset, shuffle=True)) != numbers(read(dataset, shuffle=True))


@both
@pytest.mark.parametrize("shuffle", [False, True])
def test_records_that_are_kept_come_in_a_new_order_each_epoch(
    read: Read, dataset: datamill.Dataset, shuffle: bool
) -> None:
    options: dict[str, Any] = {"shuffle": shuffle, "seed": 3, "repeat": 3, "cache": True}
    seen = epochs(read(dataset, **options), 3)
    assert all(sorted(epoch) == sorted(TRAIN) for epoch in seen)
    assert len(set(map(tuple, seen))) == (3 if shuffle else 1)


@both
def test_records_that_are_kept_are_not_read_again(read: Read, dataset: datamill.Dataset) -> None:
    batches = read(dataset, batch_size=10, cache=True, repeat=3)
    seen = [next(batches)["number"].tolist() for _ in range(3)]  # into the second epoch
    for path in map(Path, dataset.files()):
        path.write_bytes(bytes(path.stat().st_size))
    seen += [next(batches)["number"].tolist() for _ in range(3)]
    assert [*itertools.chain(*seen)] == TRAIN * 3


def test_arrays_that_are_kept_can_be_changed_without_harm(
    ready: Callable[[PackedArchive], datamill.Dataset], tmp_path: Path
) -> None:
    from tests.tensorflow.every_feature import every_feature

    record, features = every_feature(tmp_path)
    dataset = ready(pack({"train": [[record]]}, features=features.to_json()))
    expected = next(dataset.as_numpy())["image"]
    first, second = dataset.as_numpy(cache=True, repeat=2)
    assert np.array_equal(second["image"], expected)
    for given in dataset.as_numpy(cache=True, repeat=3):
        assert np.array_equal(given["image"], expected)
        assert given["inner"]["deep"] == 2**40
        given["image"][:] = 0
        given["inner"].clear()
    assert first.keys() == second.keys()


@both
@pytest.mark.parametrize("prefetch", [None, 0, 1, 5])
@pytest.mark.parametrize("batch_size", [None, 3])
def test_what_is_made_ahead_changes_nothing(
    read: Read, dataset: datamill.Dataset, prefetch: int | None, batch_size: int | None
) -> None:
    items = list(read(dataset, prefetch=prefetch, batch_size=batch_size))
    assert np.concatenate([np.atleast_1d(item["number"]) for item in items]).tolist() == TRAIN


@pytest.mark.parametrize(
    ("prefetch", "batch_size", "loaded"), [(0, None, 1), (3, None, 4), (0, 4, 4), (2, 4, 12)]
)
def test_how_much_is_decoded_ahead(
    dataset: datamill.Dataset,
    monkeypatch: pytest.MonkeyPatch,
    prefetch: int,
    batch_size: int | None,
    loaded: int,
) -> None:
    asked: list[int] = []
    load = numpy_data.Loading._load

    def counting(self: numpy_data.Loading, records: SplitRecords, number: int) -> Any:
        asked.append(number)
        return load(self, records, number)

    monkeypatch.setattr(numpy_data.Loading, "_load", counting)
    records = dataset.as_numpy(prefetch=prefetch, batch_size=batch_size)
    next(records)
    records.close()  # type: ignore[attr-defined]
    assert len(asked) <= loaded + (batch_size or 1) - 1


# --- tf.data's cache in files ---


def test_files_keep_records_for_later_runs(dataset: datamill.Dataset, tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    assert numbers(dataset.as_dataset(cache=kept, repeat=2)) == TRAIN * 2
    for path in map(Path, dataset.files()):
        path.write_bytes(bytes(path.stat().st_size))
    assert numbers(dataset.as_dataset(cache=str(kept))) == TRAIN
    shuffled = dataset.as_dataset(cache=kept, shuffle=True, repeat=2, seed=1)
    first, second = epochs(shuffled, 2)
    assert sorted(first) == sorted(second) == sorted(TRAIN) and first != second


def test_splits_and_contents_have_files_of_their_own(
    ready: Callable[[PackedArchive], datamill.Dataset], tmp_path: Path
) -> None:
    one = ready(pack(SPLITS))
    assert numbers(one.as_dataset(cache=tmp_path)) == TRAIN
    assert numbers(one.as_dataset("validation", cache=tmp_path)) == VALIDATION
    assert one.manifest.content_key != "cd" * 32
    other = tf_cache.cache_prefix(tmp_path, "cd" * 32, "train")
    assert not list(Path(other).parent.glob("records*"))


def test_what_a_killed_training_left_is_taken_away(
    dataset: datamill.Dataset, tmp_path: Path
) -> None:
    script = textwrap.dedent(
        """
        import os, signal, sys, datamill
        dataset = datamill.request_dataset("toy", "1.0.0", {})
        records = iter(dataset.as_dataset(cache=sys.argv[1], prefetch=0))
        next(records)
        os.kill(os.getpid(), signal.SIGKILL)
        """
    )
    done = subprocess.run(
        [sys.executable, "-c", script, tmp_path],
        env=os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3"},
        check=False,
    )
    assert done.returncode == -signal.SIGKILL
    assert list(tmp_path.rglob("records*.lockfile"))
    assert numbers(dataset.as_dataset(cache=tmp_path)) == TRAIN
    assert not list(tmp_path.rglob("records*.lockfile"))


def test_while_another_process_fills_it(
    dataset: datamill.Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / dataset.manifest.content_key / "train"
    place.mkdir(parents=True)
    with (place / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(DatamillError, match="another process fills the cache"):
            dataset.as_dataset(cache=tmp_path)
    assert numbers(dataset.as_dataset(cache=tmp_path)) == TRAIN
    monkeypatch.setattr(tf_cache, "_held", {})  # as in another process, which now only reads
    assert numbers(dataset.as_dataset(cache=tmp_path)) == TRAIN


def test_a_folder_that_can_not_be_used(dataset: datamill.Dataset, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InvalidOption, match=r"cache is '.*file': .*Not a directory"):
        dataset.as_dataset(cache=tmp_path / "file")


def test_the_options_of_a_mapper(dataset: datamill.Dataset) -> None:
    for options in ({"batch_size": 3}, {"shuffle": True}, {"cache": True}):
        with pytest.raises(InvalidOption, match="leave batch_size, shuffle and cache out"):
            dataset.as_dataset(use_handler=True, **options)


def test_many_records(ready: Callable[[PackedArchive], datamill.Dataset]) -> None:
    """More than a buffer, a piece or what is decoded ahead."""
    shards = [[example(number=s * 300 + n, text=b"") for n in range(300)] for s in range(5)]
    dataset = ready(pack({"train": shards}))
    for read in (dataset.as_numpy, dataset.as_dataset, dataset.tf_reader):
        seen = numbers(read(shuffle=400, seed=1))
        assert sorted(seen) == list(range(1500)) and seen != list(range(1500))
        assert numbers(read()) == list(range(1500))
