"""Reading the records for training. TensorFlow is imported here only, and only when called."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from dataset_handlers.sdk.features import Box, Feature, Image, Sequence, Shape, Tensor


def batches(
    files: list[str],
    features: Mapping[str, Feature],
    inputs: Collection[str],
    batch_size: int,
) -> Any:
    """Return a `tf.data.Dataset` of `(inputs, targets)`, two dicts of decoded tensors.

    Images are uint8 `[batch, height, width, channels]`, labels int64 `[batch]`, tensors
    `[batch, *shape]` of their own type, boxes float32 `[batch, 4]`; a sequence has one dimension
    more. Where sizes differ between records the batch is a
    `tf.RaggedTensor`. Order is that of the files and the records in them.
    """
    import tensorflow as tf

    description = {name: _description(tf, feature) for name, feature in features.items()}

    def decode(serialised: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        parsed = tf.io.parse_single_example(serialised, description)
        decoded = {name: _decoded(tf, parsed[name], f) for name, f in features.items()}
        return (
            {name: value for name, value in decoded.items() if name in inputs},
            {name: value for name, value in decoded.items() if name not in inputs},
        )

    records = tf.data.TFRecordDataset(files).map(decode, num_parallel_calls=tf.data.AUTOTUNE)
    if any(_differs(feature) for feature in features.values()):
        grouped = records.ragged_batch(batch_size)
    else:
        grouped = records.batch(batch_size)
    return grouped.prefetch(tf.data.AUTOTUNE)


def _description(tf: Any, feature: Feature) -> Any:
    types = {"bytes_list": tf.string, "float_list": tf.float32, "int64_list": tf.int64}
    stored = types[feature.kind]
    shape = _stored_shape(feature)
    if shape and shape[0] is None:
        return tf.io.FixedLenSequenceFeature(shape[1:], stored, allow_missing=True)
    return tf.io.FixedLenFeature(shape, stored)


def _stored_shape(feature: Feature) -> Shape:
    match feature:
        case Tensor():
            return feature.shape
        case Box():
            return (4,)
        case Sequence():
            return (None, *_stored_shape(feature.feature))
        case _:
            return ()


def _decoded(tf: Any, value: Any, feature: Feature) -> Any:
    if isinstance(feature, Sequence) and isinstance(feature.feature, Image):
        image = feature.feature
        size = tf.TensorSpec((image.height, image.width, image.channels), image.dtype)
        return tf.map_fn(lambda one: _decoded(tf, one, image), value, fn_output_signature=size)
    if isinstance(feature, Image):
        if feature.encoding == "jpeg":
            # The exact inverse transform, not TensorFlow's faster default.
            image = tf.io.decode_jpeg(value, feature.channels, dct_method="INTEGER_ACCURATE")
        else:
            image = tf.io.decode_png(value, feature.channels, feature.dtype)
        return tf.ensure_shape(image, (feature.height, feature.width, feature.channels))
    each = feature.feature if isinstance(feature, Sequence) else feature
    if isinstance(each, Tensor):
        return tf.cast(value, each.dtype)
    return value


def _differs(feature: Feature) -> bool:
    if isinstance(feature, Sequence):
        return True
    if isinstance(feature, Image):
        return feature.height is None or feature.width is None
    return isinstance(feature, Tensor) and None in feature.shape
