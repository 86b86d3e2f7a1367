"""`tf.train.Example` without TensorFlow.

The definition is public (tensorflow/core/example/example.proto, feature.proto). It is built in a
pool of its own, so that it can't clash with the one of an imported TensorFlow.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

Kind = Literal["bytes_list", "float_list", "int64_list"]
Values = Sequence[Any] | npt.NDArray[np.float32]
Part = bytes | memoryview
"""Some bytes of a record; a view of an array's, since a copy would double what it takes."""

_PACKAGE = "dataset_handlers.tensorflow"
_Field = descriptor_pb2.FieldDescriptorProto

# Tags: the number of a field, and that its length follows.
_FEATURES = _ENTRY = _KEY = b"\x0a"
_VALUE = b"\x12"
_LISTS: dict[Kind, bytes] = {"bytes_list": b"\x0a", "float_list": b"\x12", "int64_list": b"\x1a"}


def encode_example(features: Mapping[str, tuple[Kind, Values]]) -> bytes:
    """Return the serialised Example; equal features give equal bytes, in whatever order."""
    return b"".join(example_parts(features))


def example_parts(features: Mapping[str, tuple[Kind, Values]]) -> list[Part]:
    """Return the serialised Example as what it is made of, one after the other.

    Bytes lists and arrays of numbers are framed here, as protobuf's wire format says: going through
    its messages would copy each image three times, and each number of an array. Features are in the
    order of protobuf's deterministic serialisation: of their names, but that a name comes after
    those that begin with it. An array of float32 is not copied: don't change it meanwhile.
    """
    entries: list[Part] = []
    for name, (kind, values) in sorted(features.items(), key=_place):
        key = _field(_KEY, [name.encode()])
        value = _field(_VALUE, _field(_LISTS[kind], _list(kind, values)))
        entries += _field(_ENTRY, key + value)
    return _field(_FEATURES, entries)


def _place(feature: tuple[str, object]) -> bytes:
    return feature[0].encode() + b"\xff"  # which is in no UTF-8


def _list(kind: Kind, values: Values) -> list[Part]:
    if kind == "bytes_list":
        return [part for value in values for part in _field(_ENTRY, [value])]
    if kind == "float_list" and isinstance(values, np.ndarray):
        packed = np.ascontiguousarray(values, "<f4").view(np.uint8).data
        return _field(_ENTRY, [packed]) if len(packed) else []
    numbers = _message_class("FloatList" if kind == "float_list" else "Int64List")(value=values)
    return [numbers.SerializeToString()]


def _field(tag: bytes, parts: list[Part]) -> list[Part]:
    """Return the parts with the tag and length of the field that they are in."""
    size = sum(map(len, parts))
    head = bytearray(tag)
    while size > 0x7F:
        head.append(size & 0x7F | 0x80)
        size >>= 7
    head.append(size)
    return [bytes(head), *parts]


def decode_example(serialised: bytes) -> dict[str, list[Any]]:
    """Return the values of each feature. Raises protobuf's `DecodeError` if it is no Example."""
    features = _message_class("Example").FromString(serialised).features.feature
    return {name: _values(features[name]) for name in sorted(features)}


def _values(feature: Any) -> list[Any]:
    kind = feature.WhichOneof("kind")
    return list(getattr(feature, kind).value) if kind else []


@cache
def _message_class(name: str) -> Any:
    return message_factory.GetMessageClass(_pool().FindMessageTypeByName(f"{_PACKAGE}.{name}"))


@cache
def _pool() -> descriptor_pool.DescriptorPool:
    pool = descriptor_pool.DescriptorPool()
    pool.Add(_definition())
    return pool


def _definition() -> descriptor_pb2.FileDescriptorProto:
    file = descriptor_pb2.FileDescriptorProto(
        name="dataset_handlers/example.proto", package=_PACKAGE, syntax="proto3"
    )
    lists = (
        ("BytesList", _Field.TYPE_BYTES),
        ("FloatList", _Field.TYPE_FLOAT),
        ("Int64List", _Field.TYPE_INT64),
    )
    for name, kind in lists:
        field = file.message_type.add(name=name).field.add(name="value", number=1, type=kind)
        field.label = _Field.LABEL_REPEATED
    feature = file.message_type.add(name="Feature")
    feature.oneof_decl.add(name="kind")
    names = ("bytes_list", "float_list", "int64_list")
    for number, (name, (kind_name, _)) in enumerate(zip(names, lists, strict=True), start=1):
        _add_message(feature, name, number, kind_name).oneof_index = 0
    features = file.message_type.add(name="Features")
    # A map is a repeated message of key and value, marked so.
    entry = features.nested_type.add(name="FeatureEntry")
    entry.options.map_entry = True
    key = entry.field.add(name="key", number=1, type=_Field.TYPE_STRING)
    key.label = _Field.LABEL_OPTIONAL
    _add_message(entry, "value", 2, "Feature")
    by_name = _add_message(features, "feature", 1, "Features.FeatureEntry")
    by_name.label = _Field.LABEL_REPEATED
    _add_message(file.message_type.add(name="Example"), "features", 1, "Features")
    return file


def _add_message(
    message: descriptor_pb2.DescriptorProto, name: str, number: int, kind: str
) -> descriptor_pb2.FieldDescriptorProto:
    field = message.field.add(name=name, number=number, type=_Field.TYPE_MESSAGE)
    field.label = _Field.LABEL_OPTIONAL
    field.type_name = f".{_PACKAGE}.{kind}"
    return field
