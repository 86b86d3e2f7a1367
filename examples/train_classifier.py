r"""Train a small network on a dataset of the handler `classification`.

    .venv/bin/python examples/train_classifier.py digits \
        --config '{"image_size": [24, 24], "validation_share": 0.2}'

The config has to give all images one size, and to split off validation data.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

import datamill
from datamill.events import Accepted, Ready

Say = Callable[[str], None]

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # TensorFlow says a lot


def main() -> None:
    arguments = parsed_arguments()
    say: Say = partial(print_line, arguments.name)

    asked_at = time.time()
    dataset = datamill.request_dataset(arguments.dataset, arguments.version, arguments.config)
    say(f"asked for {arguments.dataset} {arguments.version}, dataset {dataset.id[:12]}")

    # It is built somewhere else meanwhile: a good time for what takes long here.
    import tensorflow  # noqa: F401

    ready = told(dataset, say)
    wait_secs = max(0.0, datetime.fromisoformat(ready.time).timestamp() - asked_at)
    how = "was there already" if ready.cached else "has been built"
    say(f"told {wait_secs:.1f} s after asking: it {how}, {ready.records} records")

    fetched = fetch(dataset, ready, say)
    accuracy, train_secs = train(dataset, arguments, say)
    say(f"trained {arguments.epochs} epochs in {train_secs:.1f} s: {accuracy:.1%} accuracy")

    if arguments.report:
        report = {
            "dataset_id": dataset.id,
            "records": ready.records,
            "sha256": ready.sha256,
            "cached": ready.cached,
            "fetched": fetched,
            "wait_secs": wait_secs,
            "train_secs": train_secs,
            "accuracy": accuracy,
        }
        arguments.report.write_text(json.dumps(report))


def print_line(name: str, text: str) -> None:
    """Print a line in one write: trainings that share a terminal would mix theirs otherwise."""
    sys.stdout.write(f"{name:>10} | {text}\n")
    sys.stdout.flush()


def told(dataset: datamill.Dataset, say: Say) -> Ready:
    """Follow what happens to a dataset until it is ready; `wait` alone would do as well."""
    for event in dataset.events():
        match event:
            case Accepted(state="queued" | "building" as state, waiting=waiting):
                say(f"accepted: {state}, {waiting} waiting for it")
            case Ready():
                return event
    dataset.wait()  # raises what went wrong
    raise AssertionError("the last event is an answer")


def fetch(dataset: datamill.Dataset, ready: Ready, say: Say) -> bool:
    """Bring a dataset to this machine; return whether it had to be downloaded."""
    size = f"{ready.bytes / 1e6:.1f} MB"
    try:
        _ = dataset.folder
    except datamill.NotCached:
        began = time.perf_counter()
        dataset.wait()
        secs = time.perf_counter() - began
        say(f"downloaded {size}, verified and unpacked in {secs:.2f} s")
        return True
    say(f"nothing to download: {size} in its cache already")
    return False


def train(
    dataset: datamill.Dataset, arguments: argparse.Namespace, say: Say
) -> tuple[float, float]:
    """Train; return the share of validation records that are told right, and the seconds."""
    import keras

    keras.utils.set_random_seed(arguments.seed)
    began = time.perf_counter()
    # Small enough to keep it in memory once it is decoded.
    examples = dataset.as_dataset("train").map(image_and_label).cache().shuffle(10_000).batch(64)
    validation = dataset.as_dataset("validation", batch_size=512).map(image_and_label).cache()
    model = small_network(classes=len(dataset.manifest.labels["label"]))
    history = model.fit(
        examples,
        validation_data=validation,
        epochs=arguments.epochs,
        shuffle=False,  # the data is shuffled already
        verbose=0,
    )
    return float(history.history["val_accuracy"][-1]), time.perf_counter() - began


def image_and_label(record: dict[str, Any]) -> tuple[Any, Any]:
    return record["image"], record["label"]


def small_network(classes: int) -> Any:
    import keras

    model = keras.Sequential(
        [
            keras.layers.Rescaling(1 / 255),
            keras.layers.Conv2D(16, 3, activation="relu"),
            keras.layers.MaxPooling2D(),
            keras.layers.Conv2D(32, 3, activation="relu"),
            keras.layers.MaxPooling2D(),
            keras.layers.Flatten(),
            keras.layers.Dense(64, activation="relu"),
            keras.layers.Dense(classes),
        ]
    )
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(2e-3), loss, metrics=["accuracy"])
    return model


def parsed_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Train a small classifier.")
    parser.add_argument("dataset", help="its name, as in digits")
    parser.add_argument("--version", default="1.0.0", help="the handler's version (1.0.0)")
    parser.add_argument(
        "--config",
        type=json.loads,
        default={"validation_share": 0.2},
        help="the dataset's, as JSON",
    )
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--seed", type=int, default=1, help="of the network's weights")
    parser.add_argument("--name", default="trainer", help="stands in front of each line")
    parser.add_argument(
        "--report", type=Path, metavar="FILE", help="write the results there, as JSON"
    )
    return parser.parse_args()


if __name__ == "__main__":
    main()
