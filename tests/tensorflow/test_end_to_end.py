"""What a training script does, on real pictures: ask, wait, train, learn."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

import datamill
from tests.tensorflow.conftest import Service


def test_a_classifier_learns_ants_and_bees(
    service: Service, shared_data: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(shared_data / "classification", service.raw / "classification")
    config = {"image_size": [32, 32], "variations_per_sample": 2, "flip_probability": 0.5}
    dataset = datamill.request_dataset("classification", "1.0.0", config)
    folder = dataset.wait(timeout=120, progress=True)
    shown = capfd.readouterr().err
    assert "108 records" in shown and "ready" in shown and "downloaded" in shown
    assert folder.is_dir() and dataset.manifest.labels["label"] == ["ants", "bees"]

    train = dataset.as_dataset("train", batch_size=27).map(
        lambda record: (tf.cast(record["image"], tf.float32) / 255, record["label"])
    )
    keras.utils.set_random_seed(3)
    model = keras.Sequential(
        [
            keras.layers.Conv2D(8, 5, strides=2, activation="relu"),
            keras.layers.Flatten(),
            keras.layers.Dense(32, activation="relu"),
            keras.layers.Dense(2),
        ]
    )
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(3e-3), loss, metrics=["accuracy"])
    history = model.fit(train, epochs=25, shuffle=False, verbose=0).history
    # It has seen these pictures: with labels that belong to others it would learn far less.
    assert history["loss"][-1] < history["loss"][0] / 2
    assert history["accuracy"][-1] > 0.85


# How many records will come is not known while they are built.
@pytest.mark.filterwarnings("ignore:Your input ran out of data")
def test_a_network_learns_what_stands_out(service: Service, shared_data: Path) -> None:
    shutil.copytree(shared_data / "duts", service.raw / "duts")
    config = {"image_size": [40, 40], "crop_size": [32, 32], "random_crop_centered": True}
    dataset = datamill.request_dataset("duts", "1.0.0", config)
    # No wait: it starts on the first shards.
    train = dataset.as_dataset("train", batch_size=26).map(pixels).cache()
    share = np.mean([float(tf.reduce_mean(mask)) for _, mask in train])
    assert 0.02 < share < 0.6, "pictures show something, and something around it"

    keras.utils.set_random_seed(3)
    model = keras.Sequential(
        [
            keras.layers.Conv2D(16, 5, strides=2, padding="same", activation="relu"),
            keras.layers.Conv2D(32, 5, strides=2, padding="same", activation="relu"),
            keras.layers.UpSampling2D(4, interpolation="bilinear"),
            keras.layers.Conv2D(1, 5, padding="same", activation="sigmoid"),
        ]
    )
    model.compile(keras.optimizers.Adam(5e-3), "binary_crossentropy")
    losses = model.fit(train, epochs=40, shuffle=False, verbose=0).history["loss"]
    guess = -(share * np.log(share) + (1 - share) * np.log(1 - share))
    assert losses[-1] < 0.9 * guess, "better than the same answer for every pixel"


def pixels(record: dict[str, Any]) -> tuple[Any, Any]:
    image, mask = record["image"], record["mask"]
    return tf.cast(image, tf.float32) / 255, tf.cast(mask > 127, tf.float32)
