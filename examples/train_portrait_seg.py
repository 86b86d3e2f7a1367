"""Train a small network to cut people out of portraits, on a dataset of the handler
`portrait_seg`.

Raw data is to lie in `<raw root>/portrait_seg`: `images/*.jpg` and `masks/*.png`. The figure is the
intersection over union of the network's masks with the true ones, on portraits that it has not
seen; 1 is the most.
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
    parser = argparse.ArgumentParser(description="Train a small network on portraits.")
    parser.add_argument("--epochs", type=int, default=20)
    arguments = parser.parse_args()

    config = {
        "image_size": [SIZE, SIZE],
        "margin": 0.15,
        "flip_probability": 0.5,
        "rotate_degrees": 10,
        "brightness": 0.2,
        "variations_per_sample": 4,
        "validation_share": 0.2,
    }
    dataset = datamill.request_dataset("portrait_seg", "1.0.0", config)
    print(f"asked for portrait_seg, dataset {dataset.id[:12]}", flush=True)

    import keras

    keras.utils.set_random_seed(1)
    model = small_network()
    model.compile(keras.optimizers.Adam(3e-3), "binary_crossentropy")

    train = dataset.as_dataset("train").map(image_and_mask).cache().shuffle(500, seed=1).batch(16)
    images, masks = arrays_of(dataset.as_dataset("validation").map(image_and_mask))
    everywhere = overlap(np.ones_like(masks), masks)
    print(f"a person everywhere: intersection over union {everywhere:.3f}")
    before = overlap(model.predict(images, verbose=0), masks)
    print(f"before training: intersection over union {before:.3f}", flush=True)
    for epoch in range(5, arguments.epochs + 1, 5):
        model.fit(train, epochs=5, shuffle=False, verbose=0)
        after = overlap(model.predict(images, verbose=0), masks)
        print(f"after {epoch} epochs: intersection over union {after:.3f}", flush=True)


def image_and_mask(record: dict[str, Any]) -> tuple[Any, Any]:
    import tensorflow as tf

    image, mask = record["image"], record["mask"]
    return tf.cast(image, tf.float32) / 255, tf.cast(mask, tf.float32) / 255


def small_network() -> Any:
    """A U-Net in small: what is seen at a coarse scale, drawn with the edges of a finer one."""
    import keras

    def seen(layer: Any, channels: int) -> Any:
        return keras.layers.Conv2D(channels, 3, padding="same", activation="relu")(layer)

    image = keras.Input((SIZE, SIZE, 3))
    levels, found = [], image
    for channels in (12, 24, 32):
        found = seen(found, channels)
        levels.append(found)
        found = keras.layers.MaxPooling2D()(found)
    found = seen(seen(found, 48), 48)
    for level in reversed(levels):
        found = keras.layers.UpSampling2D(interpolation="bilinear")(found)
        found = seen(keras.layers.Concatenate()([found, level]), level.shape[-1])
    return keras.Model(image, keras.layers.Conv2D(1, 1, activation="sigmoid")(found))


def arrays_of(records: Any) -> tuple[Any, Any]:
    images, masks = zip(*records.as_numpy_iterator(), strict=True)
    return np.stack(images), np.stack(masks)


def overlap(found: Any, masks: Any) -> float:
    found, true = found > 0.5, masks > 0.5
    both, either = (found & true).sum(axis=(1, 2, 3)), (found | true).sum(axis=(1, 2, 3))
    return float(np.mean(both / either))


if __name__ == "__main__":
    main()
