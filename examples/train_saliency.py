"""Train a small network to tell what stands out in a picture, on a dataset of the handler `duts`.

It does not wait for the build: the first epoch starts on the first shards. Raw data is to lie in
`<raw root>/duts`, as DUTS has it.
"""

from __future__ import annotations

import argparse
import os
from typing import Any

import datamill

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # TensorFlow says a lot

SIZE = 128


def main() -> None:
    parser = argparse.ArgumentParser(description="Train a small network on DUTS.")
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--max-items", type=int, help="train on a sample of so many pictures")
    arguments = parser.parse_args()

    config = {
        "image_size": [SIZE + SIZE // 4, SIZE + SIZE // 4],
        "crop_size": [SIZE, SIZE],
        "random_crop_centered": True,
        "flip_probability": 0.5,
        "variations_per_sample": 2,
        "max_items": arguments.max_items,
    }
    dataset = datamill.request_dataset("duts", "1.0.0", config)
    print(f"asked for duts, dataset {dataset.id[:12]}", flush=True)

    import keras

    keras.utils.set_random_seed(1)
    model = keras.Sequential(
        [
            keras.layers.Conv2D(16, 5, strides=2, padding="same", activation="relu"),
            keras.layers.Conv2D(32, 5, strides=2, padding="same", activation="relu"),
            keras.layers.UpSampling2D(4, interpolation="bilinear"),
            keras.layers.Conv2D(1, 5, padding="same", activation="sigmoid"),
        ]
    )
    model.compile(keras.optimizers.Adam(3e-3), "binary_crossentropy")
    train = dataset.as_dataset("train").map(image_and_mask).cache().batch(16)
    for epoch in range(1, arguments.epochs + 1):
        loss = model.fit(train, shuffle=False, verbose=0).history["loss"][-1]
        print(f"epoch {epoch}: loss {loss:.3f}", flush=True)


def image_and_mask(record: dict[str, Any]) -> tuple[Any, Any]:
    import tensorflow as tf

    image, mask = record["image"], record["mask"]
    return tf.cast(image, tf.float32) / 255, tf.cast(mask, tf.float32) / 255


if __name__ == "__main__":
    main()
