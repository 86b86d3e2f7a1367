"""Train a small network to find persons in pictures, on a dataset of the handler `coco`.

A record holds any number of objects; here the masks of all of them together are the target. Raw
data is to lie in `<raw root>/coco`: `images/` and `annotations/instances_*.json`.
"""

from __future__ import annotations

import argparse
import os
from typing import Any

import datamill

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # TensorFlow says a lot

SIZE = 96


def main() -> None:
    parser = argparse.ArgumentParser(description="Train a small network on COCO.")
    parser.add_argument("--epochs", type=int, default=60)
    parser.add_argument("--category", default="person", help="what to find")
    arguments = parser.parse_args()

    config = {
        "categories": [arguments.category],
        "min_area": 1000,
        "image_size": [SIZE, SIZE],
        "resize_mode": "fill",
        "flip_probability": 0.5,
        "variations_per_sample": 4,
        "validation_share": 0.2,
    }
    dataset = datamill.request_dataset("coco", "1.0.0", config)
    print(f"asked for coco, dataset {dataset.id[:12]}", flush=True)

    import keras

    keras.utils.set_random_seed(1)
    model = small_network()
    train = dataset.as_dataset("train").map(image_and_mask).cache().batch(16)
    held_out = dataset.as_dataset("validation").map(image_and_mask).cache().batch(64)
    print(f"before: {told(model, train, held_out)}", flush=True)
    for epoch in range(1, arguments.epochs + 1):
        loss = model.fit(train, shuffle=False, verbose=0).history["loss"][-1]
        if epoch % 20 == 0:
            print(f"epoch {epoch}: loss {loss:.3f}", flush=True)
    print(f"after: {told(model, train, held_out)}", flush=True)


def image_and_mask(record: dict[str, Any]) -> tuple[Any, Any]:
    """Return the picture from 0 to 1, and what all objects cover together."""
    import tensorflow as tf

    covered = tf.reduce_max(record["masks"], axis=0)
    return tf.cast(record["image"], tf.float32) / 255, tf.cast(covered, tf.float32) / 255


def small_network() -> Any:
    """Return a small U-net, compiled."""
    import keras
    from keras import layers

    image = keras.Input((SIZE, SIZE, 3))
    fine = layers.Conv2D(16, 3, strides=2, padding="same", activation="relu")(image)
    coarse = layers.Conv2D(32, 3, strides=2, padding="same", activation="relu")(fine)
    coarse = layers.Conv2D(64, 3, strides=2, padding="same", activation="relu")(coarse)
    coarse = layers.Conv2D(64, 3, padding="same", activation="relu")(coarse)
    joined = layers.Concatenate()([layers.UpSampling2D(4, interpolation="bilinear")(coarse), fine])
    joined = layers.Conv2D(16, 3, padding="same", activation="relu")(joined)
    mask = layers.Conv2D(1, 3, padding="same", activation="sigmoid")(
        layers.UpSampling2D(2, interpolation="bilinear")(joined)
    )
    model = keras.Model(image, mask)
    model.compile(keras.optimizers.Adam(2e-3), "binary_crossentropy")
    return model


def told(model: Any, train: Any, held_out: Any) -> str:
    """Say how well found and true masks overlap."""
    return (
        f"intersection over union {overlap(model, train):.1%}, "
        f"of pictures never seen {overlap(model, held_out):.1%}"
    )


def overlap(model: Any, batches: Any) -> float:
    """Return intersection over union, over all pixels of all pictures."""
    import numpy as np

    both = either = 0
    for images, masks in batches:
        found, true = model.predict_on_batch(images) > 0.5, masks.numpy() > 0.5
        both += np.count_nonzero(found & true)
        either += np.count_nonzero(found | true)
    return both / max(1, either)


if __name__ == "__main__":
    main()
