"""`as_dataset` with real TensorFlow: typed features, and the same order early and late."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

import datamill
from datamill.events import Accepted, Event, Failed, Reason, ShardDone
from datamill.request import Request
from tests.support.archives import PackedArchive, pack
from tests.support.file_server import FileServer
from tests.support.played_builder import Answer, PlayedBuilder
from tests.tensorflow.every_feature import PIXELS, every_feature
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


def numbers(dataset: Any) -> list[int]:
    return [int(record["number"]) for record in dataset]


def test_a_finished_dataset(ready: Callable[[PackedArchive], datamill.Dataset]) -> None:
    dataset = ready(pack(SPLITS))
    train = dataset.as_dataset()
    assert train.element_spec == {
        "number": tf.TensorSpec((), tf.int64),
        "text": tf.TensorSpec((), tf.string),
    }
    assert numbers(train) == TRAIN
    assert numbers(dataset.as_dataset("validation")) == VALIDATION
    assert numbers(dataset.as_dataset("validation", repeat=2)) == VALIDATION * 2
    assert numbers(dataset.as_dataset(repeat=True).take(50)) == (TRAIN * 3)[:50]
    batches = [batch["number"].numpy().tolist() for batch in dataset.as_dataset(batch_size=8)]
    assert batches == [TRAIN[:8], TRAIN[8:16], TRAIN[16:]]
    shuffled = numbers(dataset.as_dataset(shuffle=True))
    assert shuffled != TRAIN
    assert sorted(shuffled) == sorted(TRAIN)


def test_a_split_that_does_not_exist(ready: Callable[[PackedArchive], datamill.Dataset]) -> None:
    dataset = ready(pack(SPLITS))
    with pytest.raises(datamill.DatamillError, match="this dataset has train, validation"):
        dataset.as_dataset("test")


@pytest.mark.parametrize("known_before", [0, 2], ids=["announced", "two were missed"])
def test_records_come_while_the_build_runs_in_the_order_of_the_archive(
    play: Callable[[Answer], PlayedBuilder], server: FileServer, known_before: int
) -> None:
    """The build goes on only when the records so far have been read."""
    archive = pack(SPLITS)
    missed: list[ShardDone] = []

    def answer(request: Request, _id: str) -> list[Event]:
        accepted = Accepted(dataset_id=request.dataset_id, state="building", waiting=1, ahead=0)
        missed.extend(
            shard_done(request.dataset_id, archive, index, server) for index in range(known_before)
        )
        return [accepted, planned(request.dataset_id, archive)]

    builder = play(answer)
    dataset = datamill.request_dataset("toy", "1.0.0", {})
    state = {
        "dataset_id": dataset.id,
        "state": "building",
        "shards": len(archive.manifest.shards),
        "planned": None,
    }
    server.json[f"/datasets/{dataset.id}"] = lambda: (
        state | {"shard_list": [shard.model_dump() for shard in missed]}
    )
    records = iter(dataset.as_dataset())
    seen: list[int] = []
    for index in range(known_before, 4):
        builder.publish(shard_done(dataset.id, archive, index, server))
        seen.extend(int(next(records)["number"]) for _ in range(5 * (index + 1) - len(seen)))
        assert seen == TRAIN[: 5 * (index + 1)]
    server.add(f"/datasets/{archive.name}", archive.body)
    builder.publish(archive.ready(dataset.id, server.url))
    with pytest.raises(StopIteration):
        next(records)
    assert numbers(dataset.as_dataset()) == TRAIN  # a second pass, by the archive


def test_shards_out_of_order_and_the_archive_for_the_rest(
    play: Callable[[Answer], PlayedBuilder], server: FileServer
) -> None:
    archive = pack(SPLITS)
    builder = play(lambda request, _id: [planned(request.dataset_id, archive)])
    dataset = datamill.request_dataset("toy", "1.0.0", {})
    records = iter(dataset.as_dataset(repeat=2))
    builder.publish(*(shard_done(dataset.id, archive, index, server) for index in (1, 5, 0)))
    seen = [int(next(records)["number"]) for _ in range(10)]
    server.add(f"/datasets/{archive.name}", archive.body)
    builder.publish(archive.ready(dataset.id, server.url))
    seen.extend(int(record["number"]) for record in records)
    assert seen == TRAIN * 2
    assert server.count(f"/datasets/{dataset.id}/shards/0") == 1
    assert server.count(f"/datasets/{dataset.id}/shards/2") == 0


def test_a_split_that_is_built_last(
    play: Callable[[Answer], PlayedBuilder], server: FileServer
) -> None:
    archive = pack(SPLITS)
    builder = play(lambda request, _id: [planned(request.dataset_id, archive)])
    dataset = datamill.request_dataset("toy", "1.0.0", {})
    validation = dataset.as_dataset("validation")
    builder.publish(*(shard_done(dataset.id, archive, index, server) for index in range(6)))
    assert numbers(validation) == VALIDATION
    assert server.count(f"/datasets/{dataset.id}/shards/0") == 0


def test_a_failing_build_ends_the_training(
    play: Callable[[Answer], PlayedBuilder], server: FileServer
) -> None:
    archive = pack(SPLITS)
    builder = play(lambda request, _id: [planned(request.dataset_id, archive)])
    dataset = datamill.request_dataset("toy", "1.0.0", {})
    records = iter(dataset.as_dataset())
    builder.publish(shard_done(dataset.id, archive, 0, server))
    assert int(next(records)["number"]) == 0
    failed = Failed(
        dataset_id=dataset.id, reason=Reason.BAD_DATA, message="too many", retryable=False
    )
    builder.publish(failed)
    with pytest.raises(tf.errors.OpError, match="bad_data: too many"):
        list(records)


def test_every_kind_of_feature_is_decoded_as_tensorflow_datasets_does(
    ready: Callable[[PackedArchive], datamill.Dataset], tmp_path: Path
) -> None:
    record, features = every_feature(tmp_path)
    dataset = ready(pack({"train": [[record]]}, features=features.to_json()))
    decoded = next(iter(dataset.as_dataset()))
    expected = features.deserialize_example(record)
    assert sorted(decoded) == sorted(expected)
    with Image.open(tmp_path / "i.jpg") as image:
        # TensorFlow Datasets leaves the inverse transform to TensorFlow, whose default is a fast
        # approximation; ours is exact, as Pillow's is.
        expected["image"] = tf.constant(np.asarray(image))
    # There, no images at all have lost their size.
    assert expected["no_masks"].shape == (0,)
    expected["no_masks"] = tf.zeros((0, 8, 6, 1), tf.uint8)
    flat = [*tf.nest.flatten(decoded)], [*tf.nest.flatten(expected)]
    for ours, theirs in zip(*flat, strict=True):
        assert (ours.dtype, ours.shape) == (theirs.dtype, theirs.shape)
        assert np.array_equal(ours.numpy(), theirs.numpy())
    assert np.array_equal(decoded["mask"][:, :, 0], PIXELS[:, :, 0])
    spec = dataset.as_dataset().element_spec
    assert spec["image"] == tf.TensorSpec((None, None, 3), tf.uint8)
    assert spec["points"] == tf.TensorSpec((None, 2), tf.float32)


@pytest.mark.parametrize("installed", [True, False])
def test_by_the_handlers_mapper(
    ready: Callable[[PackedArchive], datamill.Dataset],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    installed: bool,
) -> None:
    if installed:
        _install_handler(tmp_path / "site", monkeypatch)
    dataset = ready(pack(SPLITS))
    if not installed:
        with pytest.raises(datamill.DatamillError, match="no handler 'toy' is installed"):
            dataset.as_dataset(use_handler=True)
        return
    with pytest.raises(ValueError, match="batches by itself"):
        dataset.as_dataset(use_handler=True, batch_size=3)
    mapped = dataset.as_dataset("validation", use_handler=True, repeat=2)
    assert [batch.numpy().tolist() for batch in mapped] == [[3, 0], [3, 0], [3, 0], [3, 0]]


def _install_handler(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Put a package on the path that counts a file's records, and shows its seed."""
    info = site / "toy_handler-1.0.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: toy-handler\nVersion: 1.0.0\n")
    (info / "entry_points.txt").write_text("[datamill.handlers]\ntoy = toy_handler:Toy\n")
    (site / "toy_handler.py").write_text(
        textwrap.dedent("""
            import tensorflow as tf

            class Toy:
                def __init__(self, config, base_data_path):
                    self.seed = config["seed"]

                def tf_records_mapper(self, files):
                    counts = [sum(1 for _ in tf.data.TFRecordDataset(f)) for f in files]
                    return tf.data.Dataset.from_tensor_slices([[c, self.seed] for c in counts])
        """)
    )
    monkeypatch.syspath_prepend(site)


@pytest.mark.parametrize("collects", [True, False])
def test_tensorflow_is_imported_without_looking_for_garbage(collects: bool) -> None:
    """And afterwards what a program does with its garbage is its own business again."""
    program = f"""
        import gc, sys
        from datamill import tf_data
        seen = []
        class Watch:
            def find_spec(self, name, path=None, target=None):
                seen.append(gc.isenabled())
        sys.meta_path.insert(0, Watch())
        if not {collects}:
            gc.disable()
        tf_data.import_tensorflow()
        assert len(seen) > 100 and not any(seen)
        assert gc.isenabled() is {collects}
        assert gc.get_freeze_count() > 100_000
        """
    subprocess.run([sys.executable, "-c", textwrap.dedent(program)], check=True)
