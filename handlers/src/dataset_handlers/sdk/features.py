"""What a record holds: features, in the shape that TensorFlow Datasets describes and reads.

`to_json` is the object of TensorFlow Datasets' features.json (its feature.proto as JSON: 64-bit
integers are text, -1 is an unknown dimension). Source: tensorflow_datasets/core/features, 4.9.10.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from dataset_handlers.sdk.example import Kind, Values

DType = Literal["float32", "int64", "int32", "uint8", "bool"]
Shape = tuple[int | None, ...]

_MODULE = "tensorflow_datasets.core.features"


class Feature(ABC):
    """One named value of a record."""

    @property
    @abstractmethod
    def kind(self) -> Kind:
        """The list of the Example that holds it."""

    @abstractmethod
    def encode(self, value: Any) -> Values:
        """Return the values for the Example. Raises `ValueError` if they don't fit."""

    @abstractmethod
    def to_json(self) -> dict[str, Any]:
        """Return the feature as features.json has it."""


@dataclass(frozen=True)
class Image(Feature):
    """An encoded image, `[height, width, channels]`; None where sizes differ."""

    height: int | None
    width: int | None
    channels: int
    encoding: Literal["jpeg", "png"]
    dtype: Literal["uint8", "uint16"] = "uint8"
    """Only PNG has 16 bits per channel."""

    kind = "bytes_list"

    def __post_init__(self) -> None:
        if self.dtype == "uint16" and self.encoding != "png":
            raise ValueError(f"{self.encoding} has no 16 bits per channel")

    def encode(self, value: Any) -> Values:
        """Take the bytes of the encoded file."""
        if not isinstance(value, bytes):
            raise ValueError(f"expected the bytes of a {self.encoding} file")
        return [value]

    def to_json(self) -> dict[str, Any]:
        """Return the feature as features.json has it."""
        shape = _shape_json((self.height, self.width, self.channels))
        image = {"dtype": self.dtype, "encodingFormat": self.encoding, "shape": shape}
        return {"pythonClassName": f"{_MODULE}.image_feature.Image", "image": image}


@dataclass(frozen=True)
class ClassLabel(Feature):
    """The position of a class in `names`."""

    names: tuple[str, ...]

    kind = "int64_list"

    def encode(self, value: Any) -> Values:
        """Take an integer from 0 to the number of classes - 1."""
        if not isinstance(value, int | np.integer) or not 0 <= value < len(self.names):
            raise ValueError(f"expected an integer from 0 to {len(self.names) - 1}")
        return [int(value)]

    def to_json(self) -> dict[str, Any]:
        """Return the feature as features.json has it; the names go into a file of their own."""
        label = {"numClasses": str(len(self.names))}
        return {"pythonClassName": f"{_MODULE}.class_label_feature.ClassLabel", "classLabel": label}


@dataclass(frozen=True)
class Tensor(Feature):
    """Numbers of a shape; only the first dimension may be None (differs between records)."""

    shape: Shape
    dtype: DType

    def __post_init__(self) -> None:
        if None in self.shape[1:]:
            raise ValueError(f"only the first dimension of {self.shape} may be unknown")

    @property
    def kind(self) -> Kind:
        """TensorFlow Datasets keeps every integer type and bool as int64."""
        return "float_list" if self.dtype == "float32" else "int64_list"

    def encode(self, value: Any) -> Values:
        """Take whatever numpy makes an array of this shape and type of, nothing lost."""
        array = np.asarray(value)
        fits = len(array.shape) == len(self.shape) and all(
            known in (None, given) for known, given in zip(self.shape, array.shape, strict=True)
        )
        if not fits:
            raise ValueError(f"expected the shape {self.shape}, not {array.shape}")
        if array.dtype.kind not in _GIVEN_KINDS[self.dtype] and array.size:
            raise ValueError(f"expected {self.dtype}, not {array.dtype}")
        if self.dtype in ("uint8", "int32") and array.size:
            limits = np.iinfo(self.dtype)
            if array.min() < limits.min or array.max() > limits.max:
                raise ValueError(f"out of the range of {self.dtype}")
        if self.dtype == "float32":
            return np.ascontiguousarray(array, np.float32).reshape(-1)  # perhaps no copy
        return array.astype(np.int64).ravel().tolist()  # protobuf takes no True for a 1

    def to_json(self) -> dict[str, Any]:
        """Return the feature as features.json has it."""
        tensor = {"dtype": self.dtype, "encoding": "none", "shape": _shape_json(self.shape)}
        name = "tensor_feature.Tensor" if self.shape else "scalar.Scalar"
        return {"pythonClassName": f"{_MODULE}.{name}", "tensor": tensor}


@dataclass(frozen=True)
class Scalar(Tensor):
    """One number."""

    shape: Shape = ()
    dtype: DType = "int64"


@dataclass(frozen=True)
class Text(Feature):
    """Text, kept as UTF-8."""

    kind = "bytes_list"

    def encode(self, value: Any) -> Values:
        """Take text, or bytes that are UTF-8 already."""
        if isinstance(value, str):
            return [value.encode()]
        if not isinstance(value, bytes):
            raise ValueError("expected text")
        return [value]

    def to_json(self) -> dict[str, Any]:
        """Return the feature as features.json has it."""
        return {"pythonClassName": f"{_MODULE}.text_feature.Text", "text": {}}


@dataclass(frozen=True)
class Box(Feature):
    """A rectangle, float32 `[4]`: top, left, bottom, right as shares of height and width."""

    kind = "float_list"

    def encode(self, value: Any) -> Values:
        """Take four numbers from 0 to 1, the second two not smaller than the first two."""
        top, left, bottom, right = (float(side) for side in value)
        if not (0 <= top <= bottom <= 1 and 0 <= left <= right <= 1):
            raise ValueError(f"[{top:g}, {left:g}, {bottom:g}, {right:g}] is no box within [0, 1]")
        return [top, left, bottom, right]

    def to_json(self) -> dict[str, Any]:
        """Return the feature as features.json has it."""
        box = {"dtype": "float32", "shape": _shape_json((4,)), "bboxFormat": "REL_YXYX"}
        return {"pythonClassName": f"{_MODULE}.bounding_boxes.BBoxFeature", "boundingBox": box}


@dataclass(frozen=True)
class Sequence(Feature):
    """Any number of images, labels, boxes or single numbers, as many as a record has.

    Images of one record have one size.
    """

    feature: Image | ClassLabel | Box | Scalar

    @property
    def kind(self) -> Kind:
        """That of each."""
        return self.feature.kind

    def encode(self, value: Any) -> Values:
        """Take a list of what the feature takes."""
        return [each for one in value for each in self.feature.encode(one)]

    def to_json(self) -> dict[str, Any]:
        """Return the feature as features.json has it."""
        sequence = {"feature": self.feature.to_json(), "length": "-1"}
        return {"pythonClassName": f"{_MODULE}.sequence_feature.Sequence", "sequence": sequence}


_GIVEN_KINDS = {"float32": "fiub", "int64": "iub", "int32": "iub", "uint8": "iub", "bool": "b"}


def features_json(features: dict[str, Feature]) -> dict[str, Any]:
    """Return the whole object of features.json."""
    return {
        "pythonClassName": f"{_MODULE}.features_dict.FeaturesDict",
        "featuresDict": {"features": {name: features[name].to_json() for name in sorted(features)}},
    }


def label_names(features: dict[str, Feature]) -> dict[str, list[str]]:
    """Return the class names of each label, and of each sequence of labels."""
    each = {n: f.feature if isinstance(f, Sequence) else f for n, f in sorted(features.items())}
    return {name: list(f.names) for name, f in each.items() if isinstance(f, ClassLabel)}


def _shape_json(shape: Shape) -> dict[str, Any]:
    if not shape:
        return {}
    return {"dimensions": [str(-1 if side is None else side) for side in shape]}
