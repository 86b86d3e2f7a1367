"""`as_numpy`: the same records as `as_dataset` gives, without TensorFlow."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import datamill
from datamill.errors import DatamillError, RequestFailed
from datamill.events import Failed, Reason
from tests.support.archives import PackedArchive, pack
from tests.support.file_server import FileServer
from tests.support.played_builder import Answer, PlayedBuilder
from tests.tensorflow.every_feature import every_feature
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


def numbers(records: Any) -> list[int]:
    return [int(record["number"]) for record in records]


def test_records_batches_epochs_and_shuffling(ready: Ready) -> None:
    dataset = ready(pack(SPLITS))
    assert numbers(dataset.as_numpy()) == TRAIN
    assert numbers(dataset.as_numpy("validation", repeat=2)) == VALIDATION * 2
    endless = dataset.as_numpy(repeat=True)
    assert [int(next(endless)["number"]) for _ in range(50)] == (TRAIN * 3)[:50]
    batches = list(dataset.as_numpy(batch_size=8))
    assert [batch["number"].tolist() for batch in batches] == [TRAIN[:8], TRAIN[8:16], TRAIN[16:]]
    assert batches[0]["number"].dtype == np.int64
    for size in (True, 7):
        shuffled = numbers(dataset.as_numpy(shuffle=size))
        assert shuffled != TRAIN
        assert sorted(shuffled) == sorted(TRAIN)


def test_every_kind_of_feature_is_what_tensorflow_makes_of_it(ready: Ready, tmp_path: Path) -> None:
    record, features = every_feature(tmp_path)
    dataset = ready(pack({"train": [[record]]}, features=features.to_json()))
    ours = next(dataset.as_numpy())
    theirs = next(iter(dataset.as_dataset().as_numpy_iterator()))
    assert _compared(ours, theirs) == len(features) == 19


def _compared(ours: dict[str, Any], theirs: dict[str, Any]) -> int:
    assert ours.keys() == theirs.keys()
    for name, value in ours.items():
        if isinstance(value, dict):
            _compared(value, theirs[name])
            continue
        assert np.array_equal(value, theirs[name]), name
        assert np.shape(value) == np.shape(theirs[name]), name
        if not isinstance(value, bytes):
            assert np.asarray(value).dtype == np.asarray(theirs[name]).dtype, name
    return len(ours)


def test_records_come_while_the_build_runs(
    play: Callable[[Answer], PlayedBuilder], server: FileServer
) -> None:
    archive = pack(SPLITS)
    builder = play(lambda request, _id: [planned(request.dataset_id, archive)])
    dataset = datamill.request_dataset("toy", "1.0.0", {})
    builder.publish(shard_done(dataset.id, archive, 0, server))
    records = dataset.as_numpy(repeat=2)
    # What is decoded ahead is no more than what is there: five records, then the next shard.
    server.add(f"/datasets/{archive.name}", archive.body)
    builder.publish(archive.ready(dataset.id, server.url))
    assert numbers(records) == TRAIN * 2


def test_a_failing_build_ends_the_iteration_with_its_reason(
    play: Callable[[Answer], PlayedBuilder], server: FileServer
) -> None:
    archive = pack(SPLITS)
    builder = play(lambda request, _id: [planned(request.dataset_id, archive)])
    dataset = datamill.request_dataset("toy", "1.0.0", {})
    builder.publish(
        Failed(dataset_id=dataset.id, reason=Reason.BAD_DATA, message="too many", retryable=False)
    )
    with pytest.raises(RequestFailed, match="too many"):
        list(dataset.as_numpy())


def test_errors_say_what_to_do(ready: Ready) -> None:
    dataset = ready(pack(SPLITS))
    with pytest.raises(DatamillError, match="this dataset has train, validation"):
        list(dataset.as_numpy("test"))


def test_tensorflow_is_not_imported(ready: Ready, tmp_path: Path) -> None:
    dataset = ready(pack(SPLITS))
    dataset.wait()
    script = textwrap.dedent(
        """
        import sys, datamill
        dataset = datamill.request_dataset("toy", "1.0.0", {})
        print(len(list(dataset.as_numpy())), "tensorflow" in sys.modules)
        """
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["20", "False"]
