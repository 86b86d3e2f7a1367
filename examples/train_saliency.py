"""Train a small network to tell what stands out in a picture, on a dataset of the handler `duts`.

It does not wait for the build: the first epoch starts on the first shards. Raw data is to lie in
`<raw root>/duts`, as DUTS has it.
"""

from __future__ import annotations

import argparse
import os
from typing import Any

import numpy as np

import datamill

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # TensorFlow says a lot

SIZE = 96


def main() -> None:
    parser = argparse.ArgumentParser(description="Train a small network on DUTS.")
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--max-items", type=int, help="train on a sample of so many pictures")
    arguments = parser.parse_args()

    config = {
        "image_size": [SIZE + SIZE // 4, SIZE + SIZE // 4],
        "crop_size": [SIZE, SIZE],
        "random_crop_centered": True,
        "flip_probability": 0.5,
        "variations_per_sample": 4,
        "validation_share": 0.2,
        "max_items": arguments.max_items,
    }
    dataset = datamill.request_dataset("duts", "1.0.0", config)
    print(f"asked for duts, dataset {dataset.id[:12]}", flush=True)

    import keras

    keras.utils.set_random_seed(1)
    model = small_network()
    model.compile(keras.optimizers.Adam(2e-3), "binary_crossentropy")
    train = dataset.as_dataset("train").map(image_and_mask).cache().batch(16)
    unseen = dataset.as_dataset("validation").map(image_and_mask).cache().batch(16)
    print(f"before: intersection over union {overlap(model, unseen):.3f}", flush=True)
    for epoch in range(1, arguments.epochs + 1):
        loss = model.fit(train, shuffle=False, verbose=0).history["loss"][-1]
        print(f"epoch {epoch}: loss {loss:.3f}", flush=True)
    print(f"after: intersection over union {overlap(model, unseen):.3f}", flush=True)


def small_network() -> Any:
    """What is seen at a coarse scale, drawn with the edges of a finer one."""
    import keras

    def seen(layer: Any, channels: int) -> Any:
        return keras.layers.Conv2D(channels, 3, padding="same", activation="relu")(layer)

    image = keras.Input((SIZE, SIZE, 3))
    fine = seen(image, 12)
    middle = seen(keras.layers.MaxPooling2D(2)(fine), 24)
    coarse = seen(seen(keras.layers.MaxPooling2D(4)(middle), 48), 48)
    coarse = keras.layers.UpSampling2D(4, interpolation="bilinear")(coarse)
    middle = seen(keras.layers.Concatenate()([middle, coarse]), 24)
    middle = keras.layers.UpSampling2D(2, interpolation="bilinear")(middle)
    fine = seen(keras.layers.Concatenate()([fine, middle]), 12)
    return keras.Model(image, keras.layers.Conv2D(1, 1, activation="sigmoid")(fine))


def overlap(model: Any, pairs: Any) -> float:
    """Of pictures never trained on, the mean; from 0.4 a pixel counts as salient."""
    shares = []
    for images, masks in pairs.as_numpy_iterator():
        found, true = model.predict_on_batch(images) > 0.4, masks > 0.5
        both, either = (found & true).sum(axis=(1, 2, 3)), (found | true).sum(axis=(1, 2, 3))
        shares += list(both / np.maximum(either, 1))
    return float(np.mean(shares))


def image_and_mask(record: dict[str, Any]) -> tuple[Any, Any]:
    import tensorflow as tf

    image, mask = record["image"], record["mask"]
    return tf.cast(image, tf.float32) / 255, tf.cast(mask, tf.float32) / 255


if __name__ == "__main__":
    main()
