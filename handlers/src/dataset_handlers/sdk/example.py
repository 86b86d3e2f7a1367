"""`tf.train.Example` without TensorFlow.

The definition is public (tensorflow/core/example/example.proto, feature.proto). It is built in a
pool of its own, so that it can't clash with the one of an imported TensorFlow.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, Literal

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

Kind = Literal["bytes_list", "float_list", "int64_list"]
Values = Sequence[Any]

_PACKAGE = "dataset_handlers.tensorflow"
_Field = descriptor_pb2.FieldDescriptorProto


def encode_example(features: Mapping[str, tuple[Kind, Values]]) -> bytes:
    """Return the serialised Example; equal features give equal bytes, in whatever order."""
    example = _example_class()()
    by_name = example.features.feature
    for name, (kind, values) in features.items():
        # getattr on the list marks the kind as set, also where there are no values.
        values_list = getattr(by_name[name], kind)
        values_list.SetInParent()
        values_list.value.extend(values)
    # Without `deterministic` the order of a map is that of the process's hash seed.
    serialised: bytes = example.SerializeToString(deterministic=True)
    return serialised


def decode_example(serialised: bytes) -> dict[str, list[Any]]:
    """Return the values of each feature. Raises protobuf's `DecodeError` if it is no Example."""
    features = _example_class().FromString(serialised).features.feature
    return {name: _values(features[name]) for name in sorted(features)}


def _values(feature: Any) -> list[Any]:
    kind = feature.WhichOneof("kind")
    return list(getattr(feature, kind).value) if kind else []


@cache
def _example_class() -> Any:
    pool = descriptor_pool.DescriptorPool()
    pool.Add(_definition())
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{_PACKAGE}.Example"))


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
