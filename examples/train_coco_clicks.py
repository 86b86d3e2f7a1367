"""Train a small network to select the object that is clicked on, with the handler `coco_clicks`.

Raw data is to lie in `<raw root>/coco`: `images/` and `annotations/instances_*.json`.
"""

from __future__ import annotations

import argparse
import os
from typing import Any

import datamill

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # TensorFlow says a lot

SIZE = 96


def main() -> None:
    parser = argparse.ArgumentParser(description="Train a small network on clicks.")
    parser.add_argument("--epochs", type=int, default=12)
    arguments = parser.parse_args()

    config = {
        "min_share": 0.02,
        "image_size": [SIZE, SIZE],
        "variations_per_sample": 4,
        "flip_probability": 0.5,
        # The paper's numbers are for pictures of five times this size.
        "border_distance": 1,
        "click_distance": 4,
        "band_width": 10,
        "validation_share": 0.2,
    }
    dataset = datamill.request_dataset("coco_clicks", "1.0.0", config)
    print(f"asked for coco_clicks, dataset {dataset.id[:12]}", flush=True)

    import keras

    keras.utils.set_random_seed(1)
    model = small_network()
    train = dataset.as_dataset("train").map(input_and_mask).cache().batch(16)
    held_out = dataset.as_dataset("validation").map(input_and_mask).cache().batch(64)
    print(f"before: {overlap(model, held_out):.1%} intersection over union", flush=True)
    for epoch in range(1, arguments.epochs + 1):
        loss = model.fit(train, shuffle=False, verbose=0).history["loss"][-1]
        print(f"epoch {epoch}: loss {loss:.3f}", flush=True)
    print(f"after: {overlap(model, held_out):.1%} intersection over union", flush=True)


def input_and_mask(record: dict[str, Any]) -> tuple[Any, Any]:
    """Return picture and both maps as five channels from 0 to 1, and the mask."""
    import tensorflow as tf

    parts = [record["image"], record["positive_map"], record["negative_map"]]
    return tf.cast(tf.concat(parts, axis=-1), tf.float32) / 255, tf.cast(
        record["mask"], tf.float32
    ) / 255


def small_network() -> Any:
    """Return a small U-net, compiled."""
    import keras
    from keras import layers

    given = keras.Input((SIZE, SIZE, 5))
    fine = layers.Conv2D(16, 3, strides=2, padding="same", activation="relu")(given)
    coarse = layers.Conv2D(32, 3, strides=2, padding="same", activation="relu")(fine)
    coarse = layers.Conv2D(64, 3, strides=2, padding="same", activation="relu")(coarse)
    coarse = layers.Conv2D(64, 3, padding="same", activation="relu")(coarse)
    joined = layers.Concatenate()([layers.UpSampling2D(4, interpolation="bilinear")(coarse), fine])
    joined = layers.Conv2D(16, 3, padding="same", activation="relu")(joined)
    mask = layers.Conv2D(1, 3, padding="same", activation="sigmoid")(
        layers.UpSampling2D(2, interpolation="bilinear")(joined)
    )
    model = keras.Model(given, mask)
    # Most pixels are background: with cross-entropy, a few steps find out no more than that.
    model.compile(keras.optimizers.Adam(2e-3), keras.losses.Dice(axis=(1, 2, 3)))
    return model


def overlap(model: Any, batches: Any) -> float:
    """Return the mean intersection over union of the objects of `batches`."""
    import numpy as np

    shares: list[float] = []
    for given, masks in batches:
        found, true = model.predict_on_batch(given) > 0.5, masks.numpy() > 0.5
        both = np.count_nonzero(found & true, axis=(1, 2, 3))
        either = np.count_nonzero(found | true, axis=(1, 2, 3))
        shares += (both / np.maximum(either, 1)).tolist()
    return float(np.mean(shares))


if __name__ == "__main__":
    main()
