"""Train a small network to tell alpha from a composite and its trimap, on the handler `matting`.

It is tried on composites that it was not trained on: the same foregrounds on other parts of other
backgrounds. Raw data is to lie in `<raw root>/matting`: `fg`, `alpha` and `bg`.
"""

from __future__ import annotations

import argparse
import os
from typing import Any

import datamill

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # TensorFlow says a lot

SIZE = 128


def main() -> None:
    parser = argparse.ArgumentParser(description="Train a small network on matting.")
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--composites", type=int, default=16, help="of each foreground")
    arguments = parser.parse_args()

    config = {
        "input_attributes": ["image", "trimap"],
        "image_size": [SIZE + SIZE // 4, SIZE + SIZE // 4],
        "crop_size": [SIZE, SIZE],
        "random_crop": True,
        "flip_probability": 0.5,
        "trimap_width": [2, 12],
        "variations_per_sample": arguments.composites,
    }
    dataset = datamill.request_dataset("matting", "1.0.0", config)
    other = {**config, "seed": 1, "variations_per_sample": 4}
    unseen = datamill.request_dataset("matting", "1.0.0", other)
    print(f"asked for matting, datasets {dataset.id[:12]} and {unseen.id[:12]}", flush=True)

    import keras

    keras.utils.set_random_seed(1)
    model = network(keras)
    adam = keras.optimizers.Adam(2e-3)
    model.compile(adam, "binary_crossentropy", weighted_metrics=["mae"])
    train = dataset.as_dataset("train").map(inputs_and_alpha).cache().batch(16)
    test = unseen.as_dataset("train").map(inputs_and_alpha).cache().batch(16)
    before = model.evaluate(test, verbose=0)[1]
    for epoch in range(1, arguments.epochs + 1):
        model.fit(train, shuffle=False, verbose=0)
        if epoch % 5 == 0:
            error = model.evaluate(test, verbose=0)[1]
            print(f"epoch {epoch}: error of alpha where it is unknown {error:.3f}", flush=True)
    after = model.evaluate(test, verbose=0)[1]
    print(f"on other composites: {before:.3f} before, {after:.3f} after")


def network(keras: Any) -> Any:
    """Return an encoder and decoder with what the encoder saw handed across (a U-Net)."""
    layers = keras.layers
    convolution = {"padding": "same", "activation": "relu"}
    inputs = layers.Input((SIZE, SIZE, 4))
    fine = layers.Conv2D(16, 3, **convolution)(inputs)
    middle = layers.Conv2D(32, 3, strides=2, **convolution)(fine)
    coarse = layers.Conv2D(64, 3, strides=2, **convolution)(middle)
    coarse = layers.Conv2D(64, 3, dilation_rate=2, **convolution)(coarse)
    up = layers.UpSampling2D(interpolation="bilinear")(coarse)
    up = layers.Conv2D(32, 3, **convolution)(layers.Concatenate()([up, middle]))
    up = layers.UpSampling2D(interpolation="bilinear")(up)
    up = layers.Conv2D(16, 3, **convolution)(layers.Concatenate()([up, fine, inputs]))
    return keras.Model(inputs, layers.Conv2D(1, 3, padding="same", activation="sigmoid")(up))


def inputs_and_alpha(record: dict[str, Any]) -> tuple[Any, Any, Any]:
    """Return inputs, target, and the pixels that count: those that the trimap leaves open."""
    import tensorflow as tf

    picture = tf.concat([record["image"], record["trimap"]], axis=-1)
    unknown = tf.cast(record["trimap"] == 128, tf.float32)
    return tf.cast(picture, tf.float32) / 255, tf.cast(record["alpha"], tf.float32) / 255, unknown


if __name__ == "__main__":
    main()
