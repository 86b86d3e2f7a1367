"""Train a small network on any dataset of the handler `classification`.

    .venv/bin/python examples/train_classifier.py digits --config '{"image_size": [24, 24]}'

The config has to split off validation data (`validation_share`) and give all images one size.
"""

from __future__ import annotations

import argparse
import functools
import json
import os
import time
from datetime import datetime
from typing import Any

import datamill
from datamill.events import Accepted, Ready

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


def main() -> None:
    arguments = parsed_arguments()
    say = functools.partial(print, f"{arguments.name:10}", flush=True)
    asked_at = time.time()
    dataset = datamill.request_dataset(arguments.dataset, arguments.version, arguments.config)
    say(f"asked for {arguments.dataset} {arguments.version}, dataset {dataset.id[:12]}")

    # While the dataset is built somewhere else, there is time for what takes long here.
    import tensorflow  # noqa: F401

    ready = told(dataset, say)
    wait_secs = max(0.0, datetime.fromisoformat(ready.time).timestamp() - asked_at)
    how = "was there already" if ready.cached else "was built"
    say(f"told after {wait_secs:.1f} s: it {how}, {ready.records} records")
    fetched = fetch(dataset, ready, say)
    accuracy, train_secs = train(dataset, arguments.epochs, say)
    say(f"trained {arguments.epochs} epochs in {train_secs:.1f} s: accuracy {accuracy:.1%}")
    if arguments.report:
        report = {
            "dataset_id": dataset.id,
            "records": ready.records,
            "cached": ready.cached,
            "fetched": fetched,
            "sha256": ready.sha256,
            "wait_secs": wait_secs,
            "train_secs": train_secs,
            "accuracy": accuracy,
        }
        arguments.report.write(json.dumps(report))
        arguments.report.close()


def told(dataset: datamill.Dataset, say: Any) -> Ready:
    """Follow what happens to a dataset until it is ready; `wait` alone would do as well."""
    for event in dataset.events():
        match event:
            case Accepted(state="ready"):
                continue
            case Accepted(state=state, waiting=waiting):
                say(f"accepted: {state}, {waiting} waiting for it")
            case Ready():
                return event
    dataset.wait()  # raises what went wrong
    raise AssertionError("an answer is ready or failed")


def fetch(dataset: datamill.Dataset, ready: Ready, say: Any) -> bool:
    """Bring a dataset to this machine; return whether it had to be downloaded."""
    megabytes = ready.bytes / 1e6
    try:
        folder = dataset.folder
    except datamill.NotCached:
        began = time.perf_counter()
        folder = dataset.wait()
        secs = time.perf_counter() - began
        say(f"downloaded {megabytes:.1f} MB, verified and unpacked in {secs:.2f} s")
        return True
    say(f"nothing to download: its {megabytes:.1f} MB are in the cache, {folder.parent.parent}")
    return False


def train(dataset: datamill.Dataset, epochs: int, say: Any) -> tuple[float, float]:
    """Train; return the share of the validation records that are told right, and the seconds."""
    import keras

    keras.utils.set_random_seed(1)
    labels = dataset.manifest.labels["label"]
    began = time.perf_counter()
    train_data = dataset.as_dataset("train", batch_size=64, shuffle=True).map(image_and_label)
    validation = dataset.as_dataset("validation", batch_size=256).map(image_and_label).cache()
    model = keras.Sequential(
        [
            keras.layers.Rescaling(1 / 255),
            keras.layers.Conv2D(16, 3, activation="relu"),
            keras.layers.MaxPooling2D(),
            keras.layers.Conv2D(32, 3, activation="relu"),
            keras.layers.MaxPooling2D(),
            keras.layers.Flatten(),
            keras.layers.Dense(64, activation="relu"),
            keras.layers.Dense(len(labels)),
        ]
    )
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("adam", loss, metrics=["accuracy"])
    say(f"training on {dataset.manifest.config['image_size']} images of {len(labels)} classes")
    history = model.fit(train_data, validation_data=validation, epochs=epochs, verbose=0)
    return float(history.history["val_accuracy"][-1]), time.perf_counter() - began


def image_and_label(record: dict[str, Any]) -> tuple[Any, Any]:
    return record["image"], record["label"]


def parsed_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("dataset", help="its name, as in digits")
    parser.add_argument("--version", default="1.0.0", help="of the handler (default: 1.0.0)")
    parser.add_argument("--config", type=json.loads, default={}, help="JSON")
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--name", default="trainer", help="stands in front of what is printed")
    parser.add_argument("--report", type=argparse.FileType("w"), help="a file for the results")
    return parser.parse_args()


if __name__ == "__main__":
    main()
