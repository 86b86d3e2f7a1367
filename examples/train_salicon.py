"""Train a small network to tell where people look in a picture, on a dataset of the handler
`salicon`.

Raw data is to lie in `<raw root>/salicon`, as SALICON has it. The figure is the correlation of the
network's maps with those of people, on pictures that it has not seen; 1 is the most. People look at
the centre anyway: the mean of all training maps is what there is to beat. Source: Z. Bylinskii et
al., "What Do Different Evaluation Metrics Tell Us About Saliency Models?", TPAMI 2019.
"""

from __future__ import annotations

import argparse
import os
from typing import Any

import numpy as np

import datamill

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # TensorFlow says a lot

HEIGHT, WIDTH = 96, 128
COARSE = 8
"""Maps are smooth: one value for so many pixels is enough."""


def main() -> None:
    parser = argparse.ArgumentParser(description="Train a small network on SALICON.")
    parser.add_argument("--epochs", type=int, default=4)
    arguments = parser.parse_args()

    config = {
        "image_size": [HEIGHT, WIDTH],
        "flip_probability": 0.5,
        "rotate_degrees": 5,
        "brightness": 0.3,
        "saturation": 0.5,
        "hue_degrees": 20,
        "variations_per_sample": 8,
    }
    dataset = datamill.request_dataset("salicon", "1.0.0", config)
    print(f"asked for salicon, dataset {dataset.id[:12]}", flush=True)

    import keras

    keras.utils.set_random_seed(1)
    model = small_network()
    # The maps of a picture as shares of where one looks: that is what the loss compares.
    model.compile(keras.optimizers.Adam(1e-3), keras.losses.KLDivergence())

    train = dataset.as_dataset("train").map(image_and_map).cache().shuffle(500, seed=1).batch(16)
    images, maps = arrays_of(dataset.as_dataset("validation").map(image_and_map))
    mean = np.mean([looks for _, looks in train.unbatch().as_numpy_iterator()], axis=0)
    print(f"the mean of the training maps: correlation {correlation([mean] * len(maps), maps):.3f}")
    before = correlation(model.predict(images, verbose=0), maps)
    print(f"before training: correlation {before:.3f}", flush=True)
    for epoch in range(1, arguments.epochs + 1):
        model.fit(train, shuffle=False, verbose=0)
        after = correlation(model.predict(images, verbose=0), maps)
        print(f"after epoch {epoch}: correlation {after:.3f}", flush=True)


def image_and_map(record: dict[str, Any]) -> tuple[Any, Any]:
    import tensorflow as tf

    looks = tf.cast(record["map"], tf.float32)
    coarse = tf.nn.avg_pool2d(looks[tf.newaxis], COARSE, COARSE, "VALID")[0]
    shares = tf.reshape(coarse / tf.reduce_sum(coarse), [-1])
    # Convolutions don't know where they are, and people prefer the centre: the network is told.
    down, right = tf.linspace(-1.0, 1.0, HEIGHT), tf.linspace(-1.0, 1.0, WIDTH)
    distance = tf.sqrt(down[:, tf.newaxis] ** 2 + right**2)[..., tf.newaxis]
    return tf.concat([tf.cast(record["image"], tf.float32) / 255, distance], axis=-1), shares


def small_network() -> Any:
    import keras

    image = found = keras.Input((HEIGHT, WIDTH, 4))
    for channels in (8, 16, 24):
        found = keras.layers.Conv2D(channels, 3, padding="same", activation="relu")(found)
        found = keras.layers.MaxPooling2D()(found)
    found = keras.layers.SpatialDropout2D(0.3)(found)
    found = keras.layers.Conv2D(16, 3, padding="same", activation="relu")(found)
    scores = keras.layers.Flatten()(keras.layers.Conv2D(1, 1)(found))
    return keras.Model(image, keras.layers.Softmax()(scores))


def arrays_of(records: Any) -> tuple[Any, Any]:
    images, maps = zip(*records.as_numpy_iterator(), strict=True)
    return np.stack(images), np.stack(maps)


def correlation(found: Any, maps: Any) -> float:
    pairs = zip(found, maps, strict=True)
    return float(np.mean([np.corrcoef(one, other)[0, 1] for one, other in pairs]))


if __name__ == "__main__":
    main()
