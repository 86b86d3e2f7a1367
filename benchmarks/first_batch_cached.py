"""First batch of a dataset that is ready and in this machine's cache, in a fresh process.

From the start of Python to a decoded batch of 32. The peer is a script without Datamill that
reads the same files with hand-written tf.data. Both import TensorFlow, which is most of it.
"""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path

import datamill
from benchmarks.command import answer
from benchmarks.measuring import Comparison, Limit, in_turns, timed
from benchmarks.photographs import link_classes
from benchmarks.service import as_client, service

LIMIT_SECS = 0.2
PHOTOGRAPHS = 1000
CONFIG = {"image_size": [320, 320], "crop_size": [256, 256]}

OURS = """
import os
import datamill

dataset = datamill.request_dataset("classification", "1.0.0", {config})
batch = next(iter(dataset.as_dataset(batch_size=32)))
assert batch["image"].shape == (32, 256, 256, 3)
os._exit(0)
"""

BY_HAND = """
import glob, os
import tensorflow as tf

description = {{
    "image": tf.io.FixedLenFeature((), tf.string),
    "label": tf.io.FixedLenFeature((), tf.int64),
    "one_hot": tf.io.FixedLenFeature((2,), tf.float32),
}}

def parse(record):
    values = tf.io.parse_single_example(record, description)
    values["image"] = tf.io.decode_jpeg(values["image"], 3, dct_method="INTEGER_ACCURATE")
    return values

records = (
    tf.data.Dataset.from_tensor_slices(sorted(glob.glob("{folder}/*-train.tfrecord-*")))
    .interleave(tf.data.TFRecordDataset, num_parallel_calls=tf.data.AUTOTUNE)
    .map(parse, num_parallel_calls=tf.data.AUTOTUNE)
    .batch(32)
    .prefetch(tf.data.AUTOTUNE)
)
batch = next(iter(records))
assert batch["image"].shape == (32, 256, 256, 3)
os._exit(0)
"""


def measure(rounds: int) -> list[Comparison]:
    """Start a script of each kind, in turns."""
    with service(notifier=True) as running, as_client(running):
        link_classes(running.raw / "classification", PHOTOGRAPHS)
        folder = datamill.request_dataset("classification", "1.0.0", CONFIG).wait()
        scripts = [_written(running.home / "ours.py", OURS, folder)]
        scripts.append(_written(running.home / "by_hand.py", BY_HAND, folder))
        ours, peer = in_turns([lambda: _secs(scripts[0]), lambda: _secs(scripts[1])], rounds)
    return [
        Comparison(
            "first batch of a cached dataset, fresh process",
            "s",
            ours,
            "tf.data",
            peer,
            Limit.more_at_most(LIMIT_SECS),
        )
    ]


def _written(path: Path, script: str, folder: Path) -> Path:
    path.write_text(textwrap.dedent(script.format(config=CONFIG, folder=folder)))
    return path


def _secs(script: Path) -> float:
    with timed() as watch:
        subprocess.run([sys.executable, script], check=True, stderr=subprocess.DEVNULL)
    return watch.secs


if __name__ == "__main__":
    answer(__doc__, measure)
