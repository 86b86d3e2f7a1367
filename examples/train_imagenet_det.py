"""Train a small network to tell what is largest in a picture, and where: handler `imagenet_det`.

Raw data is to lie in `<raw root>/imagenet_det`, as ImageNet DET has it.
"""

from __future__ import annotations

import argparse
import os
from typing import Any

import numpy as np

import datamill

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # TensorFlow says a lot

SIZE = [96, 112]


def main() -> None:
    parser = argparse.ArgumentParser(description="Train a small network on ImageNet DET.")
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--categories", nargs="+", help="only these; all others are background")
    arguments = parser.parse_args()

    config = {
        "image_size": [SIZE[0] * 4 // 3, SIZE[1] * 4 // 3],
        "crop_size": SIZE,
        "random_crop": True,
        "flip_probability": 0.5,
        "brightness": 0.2,
        "variations_per_sample": 16,
        "validation_share": 0.25,
        "categories": arguments.categories,
    }
    dataset = datamill.request_dataset("imagenet_det", "1.0.0", config)
    print(f"asked for imagenet_det, dataset {dataset.id[:12]}", flush=True)

    import keras

    dataset.wait()
    keras.utils.set_random_seed(1)
    names = dataset.manifest.labels["label"]
    model = small_network(len(names))
    train = dataset.as_dataset("train").map(as_example).cache().shuffle(2_000, seed=1).batch(32)
    validation = dataset.as_dataset("validation").map(as_example).batch(32).cache()
    print(f"classes: {', '.join(names)}", flush=True)
    print(f"before: {told(model, validation)}", flush=True)
    model.fit(train, epochs=arguments.epochs, shuffle=False, verbose=0)
    print(f"after {arguments.epochs} epochs: {told(model, validation)}", flush=True)


def as_example(record: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    import tensorflow as tf

    image = tf.cast(record["image"], tf.float32) / 255
    return image, {"label": record["label"], "box": record["box"]}


def small_network(classes: int) -> Any:
    import keras

    image = keras.Input((*SIZE, 3))
    seen = image
    for filters in (16, 32, 64, 64):
        seen = keras.layers.Conv2D(filters, 3, strides=2, padding="same", activation="relu")(seen)
    seen = keras.layers.Dense(64, activation="relu")(keras.layers.Flatten()(seen))
    label = keras.layers.Dense(classes, name="label")(seen)
    box = keras.layers.Dense(4, activation="sigmoid", name="box")(seen)
    model = keras.Model(image, {"label": label, "box": box})
    losses = {"label": keras.losses.SparseCategoricalCrossentropy(from_logits=True), "box": "mae"}
    model.compile(keras.optimizers.Adam(1e-3), losses, loss_weights={"label": 1.0, "box": 4.0})
    return model


def told(model: Any, examples: Any) -> str:
    """Say how many labels are right, and how much the boxes overlap."""
    labels, boxes = [], []
    for _, target in examples:
        labels.append(target["label"].numpy())
        boxes.append(target["box"].numpy())
    said = model.predict(examples, verbose=0)
    right = np.mean(said["label"].argmax(axis=1) == np.concatenate(labels))
    overlap = np.mean(intersection_over_union(said["box"], np.concatenate(boxes)))
    return f"{right:.1%} of the labels are right, boxes overlap by {overlap:.2f}"


def intersection_over_union(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Return for each pair of boxes (top, left, bottom, right) 1 if they are equal, down to 0."""
    top_left = np.maximum(one[:, :2], other[:, :2])
    bottom_right = np.minimum(one[:, 2:], other[:, 2:])
    common = np.prod(np.maximum(bottom_right - top_left, 0), axis=1)
    areas = [np.prod(np.maximum(boxes[:, 2:] - boxes[:, :2], 0), axis=1) for boxes in (one, other)]
    return common / np.maximum(areas[0] + areas[1] - common, 1e-9)


if __name__ == "__main__":
    main()
