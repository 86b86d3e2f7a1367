"""Serialised records as dicts of NumPy arrays; OpenCV decodes the images."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from datamill.errors import NumPyMissing, RecordError
from datamill.example import decode_example
from datamill.features import Feature

Record = dict[str, Any]


class Decoder:
    """Turns serialised Examples into dicts of arrays."""

    def __init__(self) -> None:
        try:
            import cv2
            import numpy as np
        except ImportError as error:
            raise NumPyMissing from error
        self._np, self._cv2 = np, cv2

    def of(self, features: list[Feature]) -> Callable[[bytes], Record]:
        """Return the function that decodes records of these features."""

        def decode(payload: bytes) -> Record:
            values = decode_example(payload)
            record: Record = {}
            for feature in features:
                place = record
                for key in feature.path[:-1]:
                    place = place.setdefault(key, {})
                place[feature.path[-1]] = self._value(feature, values.get(feature.name))
            return record

        return decode

    def _value(self, feature: Feature, values: list[Any] | None) -> Any:
        if feature.kind == "tensor" and None in feature.shape:
            return self._tensor(feature, values or [])
        if feature.kind == "images":
            return self._images(feature, values or [])
        if values is None:
            raise RecordError(f"a record has no {feature.name}")
        match feature.kind:
            case "image":
                return self._image(feature, *values)
            case "label":
                return self._np.int64(*values)
            case "text":
                return bytes(*values)
            case _:
                return self._tensor(feature, values)

    def _tensor(self, feature: Feature, values: list[Any]) -> Any:
        dtype = object if feature.dtype == "string" else feature.dtype
        shape = [-1 if size is None else size for size in feature.shape]
        try:
            tensor = self._np.array(values, dtype).reshape(shape)
        except (ValueError, TypeError) as error:
            raise RecordError(f"{feature.name} of a record: {error}") from error
        return tensor if shape else tensor[()]

    def _images(self, feature: Feature, files: list[bytes]) -> Any:
        if files:
            return self._np.stack([self._image(feature, file) for file in files])
        return self._np.empty((0, *(size or 0 for size in feature.shape)), feature.dtype)

    def _image(self, feature: Feature, data: bytes) -> Any:
        cv2 = self._cv2
        match feature.shape[-1]:
            case 1:
                flags = cv2.IMREAD_GRAYSCALE
            case 3:
                flags = cv2.IMREAD_COLOR_RGB
            case _:
                flags = cv2.IMREAD_UNCHANGED
        if feature.dtype != "uint8":
            flags |= cv2.IMREAD_ANYDEPTH
        image = cv2.imdecode(
            self._np.frombuffer(data, self._np.uint8), flags | cv2.IMREAD_IGNORE_ORIENTATION
        )
        if image is None:
            raise RecordError(f"{feature.name} of a record is no image that OpenCV can decode")
        if image.ndim == 2:
            image = image[..., self._np.newaxis]
        elif flags == cv2.IMREAD_UNCHANGED and image.shape[2] >= 3:
            code = cv2.COLOR_BGRA2RGBA if image.shape[2] == 4 else cv2.COLOR_BGR2RGB
            image = cv2.cvtColor(image, code)
        return image
