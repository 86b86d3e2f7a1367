"""features.json of TensorFlow Datasets, read without it: what each record holds.

Source: tensorflow_datasets/proto/feature.proto, written as JSON (64-bit integers are text, -1 is
an unknown dimension), and core/features/*.py for how a feature lies in a tf.train.Example.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Literal

from datamill.errors import ArchiveError

Shape = tuple[int | None, ...]


@dataclass(frozen=True)
class Feature:
    """One value of a record.

    `path` are the keys that lead to it in a decoded record; joined by `/` they are its name in
    the Example.
    """

    path: tuple[str, ...]
    kind: Literal["image", "images", "label", "tensor", "text"]
    """`images`: any number, all of one size."""
    dtype: str
    """As numpy and TensorFlow name it: `uint8`, `float32`, `string`."""
    shape: Shape
    encoding: str = ""
    """Of images: `jpeg`, `png`, or nothing where records may differ."""
    classes: int | None = None
    """Of class labels, and sequences of them: how many classes there are; of others None."""

    @property
    def name(self) -> str:
        """The key in the Example."""
        return "/".join(self.path)

    @property
    def differs(self) -> bool:
        """Whether records may have it in different sizes: a batch of it is no array then."""
        return self.kind == "images" or None in self.shape


def parse_features(document: dict[str, Any]) -> list[Feature]:
    """Return the features that features.json describes, in its order.

    Raises `ArchiveError` for a feature that needs its handler's code to be read.
    """
    try:
        if "content" in document:  # as `to_json` writes it; files hold the message itself
            return list(_of_dict((), document["content"]["features"]))
        return list(_of_dict((), document["featuresDict"]["features"]))
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise ArchiveError(
            f"features.json can't be read: {type(error).__name__} {error}"
        ) from error


def _of_dict(path: tuple[str, ...], features: dict[str, Any]) -> Iterator[Feature]:
    for name, description in features.items():
        yield from _of((*path, name), description)


def _of(path: tuple[str, ...], description: dict[str, Any]) -> Iterator[Feature]:
    match description:
        case {"featuresDict": {"features": inner}}:
            yield from _of_dict(path, inner)
        case {"image": image}:
            dtype = image.get("dtype") or "uint8"
            shape = _shape(image) or (None, None, 3)
            yield Feature(path, "image", dtype, shape, image.get("encodingFormat", ""))
        case {"classLabel": label}:
            classes = int(label.get("numClasses", 0))
            yield Feature(path, "label", "int64", (), classes=classes)
        case {"text": _}:
            yield Feature(path, "text", "string", ())
        case {"tensor": tensor} if tensor.get("encoding", "none") in ("none", ""):
            yield _tensor(path, tensor)
        case {"boundingBox": _}:
            yield Feature(path, "tensor", "float32", (4,))
        case {"sequence": sequence}:
            length = int(sequence.get("length", -1))
            for one in _of(path, sequence["feature"]):
                yield _several(one, None if length < 0 else length, description)
        case _:
            raise _unreadable(path, description)


def _several(one: Feature, length: int | None, description: dict[str, Any]) -> Feature:
    if one.kind == "images" or (None in one.shape and one.kind != "image"):
        raise _unreadable(one.path, description)
    if one.kind == "image":
        return replace(one, kind="images")
    return replace(one, kind="tensor", shape=(length, *one.shape))


def _tensor(path: tuple[str, ...], tensor: dict[str, Any]) -> Feature:
    shape = _shape(tensor)
    if sum(size is None for size in shape) > 1:
        raise ArchiveError(f"{'/'.join(path)} has several unknown dimensions; {_OTHER_WAYS}")
    return Feature(path, "tensor", tensor["dtype"], shape)


def _shape(description: dict[str, Any]) -> Shape:
    sizes = [int(size) for size in description.get("shape", {}).get("dimensions", [])]
    return tuple(None if size < 0 else size for size in sizes)


_OTHER_WAYS = "read it by as_dataset(use_handler=True) or tfds.builder_from_directory(folder)"


def _unreadable(path: tuple[str, ...], description: dict[str, Any]) -> ArchiveError:
    kind = str(description.get("pythonClassName", "an unknown kind")).rsplit(".", 1)[-1]
    return ArchiveError(f"{'/'.join(path)} is {kind}, which datamill can't decode; {_OTHER_WAYS}")
