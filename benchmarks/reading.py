"""Records per second that a training gets: `as_dataset` and `as_numpy` beside hand-written tf.data.

The peer is what TensorFlow's guide to input pipelines gives for the same files: interleaved
readers, parsing and decoding in parallel, batches, prefetch. Everything is in the page cache.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any

import datamill
from benchmarks.command import answer
from benchmarks.measuring import Comparison, Limit, in_turns, timed
from benchmarks.photographs import link_classes
from benchmarks.service import as_client, service

RECORDS, BATCH = 4000, 32
CONFIG = {"image_size": [320, 320], "crop_size": [256, 256]}


def measure(rounds: int) -> list[Comparison]:
    """Read all records, in turns."""
    with service(notifier=True) as running, as_client(running):
        link_classes(running.raw / "classification", RECORDS)
        dataset = datamill.request_dataset("classification", "1.0.0", CONFIG)
        folder = dataset.wait()
        ways: list[Callable[[], Iterable[Any]]] = [
            lambda: dataset.as_dataset(batch_size=BATCH),
            lambda: dataset.as_numpy(batch_size=BATCH),
            lambda: by_hand(folder),
        ]
        ours, numpy, peer = in_turns([partial(_rate, way) for way in ways], rounds)
    return [
        Comparison("as_dataset", "records/s", ours, "tf.data", peer, Limit.times_at_least(0.95)),
        Comparison("as_numpy", "records/s", numpy, "tf.data", peer, Limit.times_at_least(0.90)),
    ]


def _rate(way: Callable[[], Iterable[Any]]) -> float:
    with timed() as watch:
        count = sum(len(batch["label"]) for batch in way())
    assert count == RECORDS
    return count / watch.secs


def by_hand(folder: Path) -> Any:
    """Return what one would write for these files."""
    import tensorflow as tf

    description = {
        "image": tf.io.FixedLenFeature((), tf.string),
        "label": tf.io.FixedLenFeature((), tf.int64),
        "one_hot": tf.io.FixedLenFeature((2,), tf.float32),
    }

    def parse(record: Any) -> dict[str, Any]:
        values = tf.io.parse_single_example(record, description)
        values["image"] = tf.io.decode_jpeg(values["image"], 3, dct_method="INTEGER_ACCURATE")
        return dict(values)

    files = sorted(map(os.fspath, folder.glob("*-train.tfrecord-*")))
    return (
        tf.data.Dataset.from_tensor_slices(files)
        .interleave(tf.data.TFRecordDataset, num_parallel_calls=tf.data.AUTOTUNE)
        .map(parse, num_parallel_calls=tf.data.AUTOTUNE)
        .batch(BATCH)
        .prefetch(tf.data.AUTOTUNE)
    )


if __name__ == "__main__":
    answer(__doc__, measure)
