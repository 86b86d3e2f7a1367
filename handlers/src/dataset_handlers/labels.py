"""The class of a whole picture, twice: as a number, and one-hot."""

from __future__ import annotations

from typing import Any

import numpy as np

from dataset_handlers.sdk.example import decode_example
from dataset_handlers.sdk.features import ClassLabel, Feature, Tensor
from dataset_handlers.sdk.tfrecord import first_record

_ONE_HOT = "one_hot"


def is_label_name(name: str) -> bool:
    """Whether a file with a name per line gives the name back as it is.

    TensorFlow Datasets reads such files; it drops blanks at both ends of a line.
    """
    return name == name.strip() and len(name.splitlines()) == 1


def label_features(names: tuple[str, ...]) -> dict[str, Feature]:
    """Return the features of what `label_values` makes; a class's label is its place in `names`."""
    return {"label": ClassLabel(names), _ONE_HOT: Tensor((len(names),), "float32")}


def numbered_label_features(classes: int) -> dict[str, Feature]:
    """Return `label_features` where only the number of classes is known, to write or read them."""
    return label_features(tuple(str(number) for number in range(classes)))


def label_values(label: int, classes: int) -> dict[str, Any]:
    """Return `label`, int64, and `one_hot`, float32 `[classes]`."""
    one_hot = np.zeros(classes, np.float32)
    one_hot[label] = 1
    return {"label": label, _ONE_HOT: one_hot}


def classes_in(files: list[str]) -> int:
    """Return the number of classes that records were made for: the raw data may be elsewhere."""
    for file in files:
        record = first_record(file)
        if record is not None:
            return len(decode_example(record)[_ONE_HOT])
    return 1
