r"""Train a small network that may be killed at any moment, and goes on where it was.

    .venv/bin/python examples/train_resumable.py digits --folder runs/digits \
        --config '{"image_size": [24, 24], "validation_share": 0.2}'

Press Ctrl-C or `kill -9` it, and start it with the same line again: network, optimizer and the
place in the data are those of the last checkpoint, and the records that come are those that would
have come. Every few steps it looks at the validation data, and then goes on with the training data
where it left them. The dataset has labels, images of one size, and a validation split.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import sys
from pathlib import Path
from typing import Any

import datamill

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # TensorFlow says a lot


def main() -> None:
    arguments = parsed_arguments()
    dataset = datamill.request_dataset(arguments.dataset, arguments.version, arguments.config)
    try:
        train(dataset, arguments)
    except KeyboardInterrupt:
        say("stopped; the same command goes on from the last checkpoint")
        sys.exit(130)


def train(dataset: datamill.Dataset, arguments: argparse.Namespace) -> None:
    import keras
    import tensorflow as tf

    keras.utils.set_random_seed(arguments.seed)
    data = dataset.tf_reader("train", batch_size=64, shuffle=True, seed=arguments.seed)
    validation = dataset.tf_reader("validation", batch_size=512)
    image_shape = dataset.as_dataset("train").element_spec["image"].shape
    model = small_network(image_shape, classes=len(dataset.label_names("label")))
    optimizer = keras.optimizers.Adam(2e-3)
    optimizer.build(model.trainable_variables)  # so that there is what a checkpoint restores
    loss_of = keras.losses.SparseCategoricalCrossentropy(from_logits=True)

    @tf.function(reduce_retracing=True)
    def step(image: Any, label: Any) -> Any:
        with tf.GradientTape() as tape:
            loss = loss_of(label, model(image, training=True))
        gradients = tape.gradient(loss, model.trainable_variables)
        optimizer.apply_gradients(zip(gradients, model.trainable_variables, strict=True))
        return loss

    def accuracy() -> float:
        right = [tf.argmax(model(b["image"]), axis=1) == b["label"] for b in validation]
        return float(tf.reduce_mean(tf.cast(tf.concat(right, axis=0), tf.float32)))

    checkpoint = tf.train.Checkpoint(model=model, optimizer=optimizer, data=data)
    manager = tf.train.CheckpointManager(checkpoint, str(arguments.folder), max_to_keep=2)
    if manager.latest_checkpoint:
        checkpoint.restore(manager.latest_checkpoint)
        say(f"goes on at epoch {data.epoch + 1}, record {data.position.record}")
    say(f"before: {accuracy():.1%} of the validation records are told right")
    while data.epoch < arguments.epochs:
        for batch in itertools.islice(data, arguments.steps):
            step(batch["image"], batch["label"])
        manager.save()
        place = f"epoch {data.epoch + 1}, record {data.position.record}"
        say(f"{place}: {accuracy():.1%}; a checkpoint is saved")
    say(f"after {arguments.epochs} epochs: {accuracy():.1%}")


def say(text: str) -> None:
    print(text, flush=True)


def small_network(image_shape: Any, classes: int) -> Any:
    import keras

    return keras.Sequential(
        [
            keras.layers.Input(image_shape),
            keras.layers.Rescaling(1 / 255),
            keras.layers.Conv2D(16, 3, activation="relu"),
            keras.layers.MaxPooling2D(),
            keras.layers.Conv2D(32, 3, activation="relu"),
            keras.layers.MaxPooling2D(),
            keras.layers.Flatten(),
            keras.layers.Dense(classes),
        ]
    )


def parsed_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Train; if killed, go on.")
    parser.add_argument("dataset", help="its name, as in digits")
    parser.add_argument("--version", default="1.0.0", help="the handler's version (1.0.0)")
    parser.add_argument("--config", type=json.loads, default={}, help="the dataset's, as JSON")
    parser.add_argument("--folder", type=Path, required=True, help="where checkpoints are kept")
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--steps", type=int, default=10, help="from one checkpoint to the next")
    parser.add_argument("--seed", type=int, default=1, help="of the weights and the order")
    return parser.parse_args()


if __name__ == "__main__":
    main()
