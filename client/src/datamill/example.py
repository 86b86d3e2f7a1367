"""Reading `tf.train.Example` messages without TensorFlow.

The message definition is public: tensorflow/core/example/example.proto and feature.proto. It is
built in a pool of its own, so that it can't clash with an imported TensorFlow's.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import DecodeError as _ProtobufDecodeError

from datamill.errors import RecordError

FeatureValues = list[int] | list[float] | list[bytes]

_PACKAGE = "datamill.tensorflow"
_Field = descriptor_pb2.FieldDescriptorProto


def decode_example(payload: bytes) -> dict[str, FeatureValues]:
    """Return the features of a serialised Example by name, names in order.

    A feature without a kind (TensorFlow writes such for an empty list) is an empty list.
    Raises `RecordError` if the bytes are no Example.
    """
    features = _features(payload)
    return {name: _values(features[name]) for name in sorted(features)}


def decode_feature(payload: bytes, name: str) -> FeatureValues:
    """Return one feature of a serialised Example; an empty list where it has none of that name.

    Raises `RecordError` if the bytes are no Example.
    """
    features = _features(payload)
    return _values(features[name]) if name in features else []


def _features(payload: bytes) -> Any:
    message = _example_class()()
    try:
        message.ParseFromString(payload)
    except _ProtobufDecodeError as error:
        raise RecordError(f"a record is no tf.train.Example: {error}") from error
    return message.features.feature


def _values(feature: Any) -> FeatureValues:
    kind = feature.WhichOneof("kind")
    return list(getattr(feature, kind).value) if kind else []


@cache
def _example_class() -> Any:
    pool = descriptor_pool.DescriptorPool()
    pool.Add(_definition())
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{_PACKAGE}.Example"))


def _definition() -> descriptor_pb2.FileDescriptorProto:
    file = descriptor_pb2.FileDescriptorProto(
        name="datamill/example.proto", package=_PACKAGE, syntax="proto3"
    )
    for name, kind in (
        ("BytesList", _Field.TYPE_BYTES),
        ("FloatList", _Field.TYPE_FLOAT),
        ("Int64List", _Field.TYPE_INT64),
    ):
        message = file.message_type.add(name=name)
        message.field.add(name="value", number=1, label=_Field.LABEL_REPEATED, type=kind)
    _add_feature(file)
    _add_features(file)
    example = file.message_type.add(name="Example")
    _add_message_field(example, "features", 1, "Features")
    return file


def _add_feature(file: descriptor_pb2.FileDescriptorProto) -> None:
    feature = file.message_type.add(name="Feature")
    feature.oneof_decl.add(name="kind")
    for number, (name, kind) in enumerate(
        (("bytes_list", "BytesList"), ("float_list", "FloatList"), ("int64_list", "Int64List")), 1
    ):
        _add_message_field(feature, name, number, kind).oneof_index = 0


def _add_features(file: descriptor_pb2.FileDescriptorProto) -> None:
    features = file.message_type.add(name="Features")
    # A map field is a repeated message of key and value, marked so.
    entry = features.nested_type.add(name="FeatureEntry")
    entry.options.map_entry = True
    entry.field.add(name="key", number=1, label=_Field.LABEL_OPTIONAL, type=_Field.TYPE_STRING)
    _add_message_field(entry, "value", 2, "Feature")
    field = _add_message_field(features, "feature", 1, "Features.FeatureEntry")
    field.label = _Field.LABEL_REPEATED


def _add_message_field(
    message: descriptor_pb2.DescriptorProto, name: str, number: int, kind: str
) -> descriptor_pb2.FieldDescriptorProto:
    return message.field.add(
        name=name,
        number=number,
        label=_Field.LABEL_OPTIONAL,
        type=_Field.TYPE_MESSAGE,
        type_name=f".{_PACKAGE}.{kind}",
    )
