"""Train a small network to guess depth from a picture, on the handler `portrait_depth`.

It is tried on the pictures that it was trained on, and on others. Raw data is to lie in
`<raw root>/portrait_depth`: `images`, `depth` and `depth_info.csv`.
"""

from __future__ import annotations

import argparse
import os
from typing import Any

import datamill

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # TensorFlow says a lot

SIZE = 128


def main() -> None:
    parser = argparse.ArgumentParser(description="Train a small network on portrait depth.")
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--variations", type=int, default=8, help="of each picture")
    arguments = parser.parse_args()

    config = {
        "image_size": [SIZE + SIZE // 8, SIZE + SIZE // 8],
        "crop_size": [SIZE, SIZE],
        "random_crop": True,
        "flip_probability": 0.5,
        "brightness": 0.2,
        "variations_per_sample": arguments.variations,
        "validation_share": 0.25,
    }
    dataset = datamill.request_dataset("portrait_depth", "1.0.0", config)
    print(f"asked for portrait_depth, dataset {dataset.id[:12]}", flush=True)

    import keras

    keras.utils.set_random_seed(1)
    model = network(keras)
    model.compile(keras.optimizers.Adam(2e-3), weighted_metrics=["mae"], loss="mae")
    train = dataset.as_dataset("train").map(image_and_depth).cache().batch(16)
    test = dataset.as_dataset("validation").map(image_and_depth).cache().batch(16)
    before = [model.evaluate(records, verbose=0)[1] for records in (train, test)]
    for epoch in range(1, arguments.epochs + 1):
        model.fit(train, shuffle=False, verbose=0)
        if epoch % 5 == 0:
            error = model.evaluate(test, verbose=0)[1]
            print(f"epoch {epoch}: error of depth where it is known {error:.3f}", flush=True)
    after = [model.evaluate(records, verbose=0)[1] for records in (train, test)]
    for which, first, last in zip(("trained on", "not trained on"), before, after, strict=True):
        print(f"pictures {which}: {first:.3f} before, {last:.3f} after")


def network(keras: Any) -> Any:
    """Return an encoder and decoder with what the encoder saw handed across (a U-Net)."""
    layers = keras.layers
    convolution = {"padding": "same", "activation": "relu"}
    inputs = layers.Input((SIZE, SIZE, 3))
    skipped = []
    features = inputs
    for channels in (16, 32, 64):
        features = layers.Conv2D(channels, 3, strides=2, **convolution)(features)
        skipped.append(features)
    features = layers.Conv2D(64, 3, strides=2, **convolution)(features)
    for skip in reversed(skipped):
        features = layers.UpSampling2D(interpolation="bilinear")(features)
        features = layers.Concatenate()([features, skip])
        features = layers.Conv2D(skip.shape[-1], 3, **convolution)(features)
    features = layers.UpSampling2D(interpolation="bilinear")(features)
    return keras.Model(inputs, layers.Conv2D(1, 3, padding="same", activation="sigmoid")(features))


def image_and_depth(record: dict[str, Any]) -> tuple[Any, Any, Any]:
    """Return input, target, and the pixels that count: those whose depth is known."""
    import tensorflow as tf

    known = tf.cast(record["valid"], tf.float32) / 255
    return tf.cast(record["image"], tf.float32) / 255, record["depth"], known


if __name__ == "__main__":
    main()
