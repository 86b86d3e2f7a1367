"""`tf.data` datasets of decoded, typed features, by features.json alone or by the handler."""

from __future__ import annotations

import gc
import importlib.metadata
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Any

from datamill.early import (
    content_key,
    exact_records,
    files_and_pauses,
    files_on_disk,
    known_features,
    split_files,
)
from datamill.errors import DatamillError, InvalidOption, TensorFlowMissing
from datamill.features import Feature, parse_features
from datamill.reading import ReadingOptions
from datamill.tf_cache import cache_prefix

if TYPE_CHECKING:
    from datamill.dataset import Dataset

log = logging.getLogger(__name__)

HANDLERS_GROUP = "datamill.handlers"
"""The entry points by which a handler package declares its handlers."""

_FILES_AHEAD = 2
"""So many files are fetched while one is read."""
_PAUSE = ""
"""Stands for a file while the build is waited for: so an iterator can be given up meanwhile."""
_STORED_AS_FLOAT = ("float16", "bfloat16", "float32", "float64")


def by_features(dataset: Dataset, split: str, options: ReadingOptions) -> Any:
    """Return a `tf.data.Dataset` of one dict per record, decoded as features.json says.

    image: uint8 or uint16 `[height, width, channels]`; class label: int64; tensor and scalar: their
    type and shape; box: float32 `[4]`, top, left, bottom, right from 0 to 1; text: string. A
    sequence has one dimension more in front. In batches, what may have another size in each record
    is a `tf.RaggedTensor`.
    """
    tf = import_tensorflow()
    if not options.streaming:
        dataset.wait()
    features = parse_features(known_features(dataset))

    records = _records(tf, dataset, split)
    known = exact_records(dataset, split)
    if known:
        # Not what the plan says, which TensorFlow would insist on: bad source items are left out.
        # Keras shows how far an epoch is, and does not warn that the data ran out at its end.
        records = records.apply(tf.data.experimental.assert_cardinality(known))
    if options.cache:
        # Shuffled before it, records would be kept in the order of the first epoch.
        kept = _cached(dataset, split, decoded(tf, records, features), options)
        ready = _shuffled(kept, options)
    else:
        ready = decoded(tf, _shuffled(records, options), features)
    if options.epochs != 1:
        ready = ready.repeat(options.epochs)
    return prefetched(tf, batched(tf, ready, options), options)


def decoded(tf: Any, records: Any, features: list[Feature]) -> Any:
    """Return a `tf.data.Dataset` of decoded records, in the order of the serialised ones."""
    return records.map(
        _decoder(tf, features), num_parallel_calls=tf.data.AUTOTUNE, deterministic=True
    )


def batched(tf: Any, records: Any, options: ReadingOptions) -> Any:
    """Return batches, if they are asked for: ragged where sizes differ, dense where they don't."""
    if not options.batch_size:
        return records
    sizes = [spec.shape for spec in tf.nest.flatten(records.element_spec)]
    if all(size.is_fully_defined() for size in sizes):
        return records.batch(options.batch_size)
    return records.ragged_batch(options.batch_size)  # features of one size are as `batch` has them


def prefetched(tf: Any, items: Any, options: ReadingOptions) -> Any:
    """Return what makes as many ahead as is asked for."""
    if options.prefetch == 0:
        return items
    return items.prefetch(tf.data.AUTOTUNE if options.prefetch is None else options.prefetch)


def _shuffled(records: Any, options: ReadingOptions) -> Any:
    if not options.shuffle_records:
        return records
    return records.shuffle(options.shuffle_records, options.seed, reshuffle_each_iteration=True)


def _cached(dataset: Dataset, split: str, records: Any, options: ReadingOptions) -> Any:
    if isinstance(options.cache, bool):
        return records.cache()
    return records.cache(cache_prefix(options.cache, content_key(dataset) or dataset.id, split))


def _records(tf: Any, dataset: Dataset, split: str) -> Any:
    """Return serialised records, one file after the other: that is what keeps their order."""
    paths = files_on_disk(dataset, split)
    if paths is not None:
        return tf.data.TFRecordDataset(paths)  # a generator would take longer to set up

    def paths_and_pauses() -> Iterator[str]:
        return (path or _PAUSE for path in files_and_pauses(dataset, split))

    files = tf.data.Dataset.from_generator(
        paths_and_pauses, output_signature=tf.TensorSpec(shape=(), dtype=tf.string)
    )
    files = files.filter(lambda path: path != _PAUSE).prefetch(_FILES_AHEAD)
    return files.flat_map(tf.data.TFRecordDataset)


def by_handler(dataset: Dataset, split: str, options: ReadingOptions) -> Any:
    """Return what the handler's `tf_records_mapper` makes of a split's files.

    Raises `DatamillError` if no package here has the handler; `InvalidOption` for options that
    would undo what the mapper does.
    """
    if options.batch_size or options.shuffle or options.cache:
        raise InvalidOption(
            "a handler's mapper batches by itself: leave batch_size, shuffle and cache out"
        )
    tf = import_tensorflow()
    handler_class = _handler_class(dataset)
    folder = dataset.wait()
    handler = handler_class(dict(dataset.manifest.config), str(folder))
    mapped = handler.tf_records_mapper(list(split_files(dataset, split)))
    if options.epochs != 1:
        mapped = mapped.repeat(options.epochs)
    return mapped if options.prefetch is None else prefetched(tf, mapped, options)


def _handler_class(dataset: Dataset) -> Any:
    name = dataset.handler_name
    found = importlib.metadata.entry_points(group=HANDLERS_GROUP, name=name)
    if not found:
        raise DatamillError(
            f"no handler {name!r} is installed here: install its package "
            f"({dataset.request.handler_version}), or leave use_handler out"
        )
    entry_point = next(iter(found))
    wanted = dataset.request.handler_version
    if entry_point.dist is not None and entry_point.dist.version != wanted:
        log.warning(
            "%s %s maps records that version %s made",
            entry_point.dist.name,
            entry_point.dist.version,
            wanted,
        )
    return entry_point.load()


def import_tensorflow() -> Any:
    """Return the module; raise `TensorFlowMissing`."""
    begun = nullcontext() if "tensorflow" in sys.modules else _without_collections()
    try:
        with begun:
            import tensorflow as tf
    except ImportError as error:
        raise TensorFlowMissing from error
    return tf


@contextmanager
def _without_collections() -> Iterator[None]:
    """Import something large without looking for garbage among it, then or later.

    TensorFlow's modules are 330,000 objects that live as long as the process: Python goes through
    them again and again while it imports them, which takes a fifth of the time, and for 0.2 s each
    time it collects all generations. Reference counts go on to free what was there before.
    """
    collects = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        yield
        gc.freeze()
    finally:
        if collects:
            gc.enable()


def _decoder(tf: Any, features: list[Feature]) -> Any:
    """Return a function from a serialised Example to a dict of tensors."""
    stored = {feature.name: _stored(tf, feature) for feature in features}

    def decode(record: Any) -> dict[str, Any]:
        values = tf.io.parse_single_example(record, stored)
        result: dict[str, Any] = {}
        for feature in features:
            place = result
            for key in feature.path[:-1]:
                place = place.setdefault(key, {})
            place[feature.path[-1]] = _value(tf, feature, values[feature.name])
        return result

    # It holds nothing that AutoGraph would have to translate, and `match` it can't.
    return tf.autograph.experimental.do_not_convert(decode)


def _stored(tf: Any, feature: Feature) -> Any:
    """Return how a feature lies in the Example: bytes, float32 or int64."""
    if feature.kind in ("image", "text"):
        return tf.io.FixedLenFeature((), tf.string)
    if feature.kind == "images":
        return tf.io.FixedLenSequenceFeature((), tf.string, allow_missing=True)
    dtype = tf.int64
    if feature.dtype == "string":
        dtype = tf.string
    elif feature.dtype in _STORED_AS_FLOAT:
        dtype = tf.float32
    if None in feature.shape:
        return tf.io.FixedLenSequenceFeature((), dtype, allow_missing=True)
    return tf.io.FixedLenFeature(feature.shape, dtype)


def _value(tf: Any, feature: Feature, value: Any) -> Any:
    match feature.kind:
        case "image":
            return _image(tf, feature, value)
        case "images":
            return _images(tf, feature, value)
        case "tensor":
            if None in feature.shape:
                sizes = [-1 if size is None else size for size in feature.shape]
                value = tf.ensure_shape(tf.reshape(value, sizes), feature.shape)
            return value if feature.dtype == "string" else tf.cast(value, feature.dtype)
        case _:
            return value


def _images(tf: Any, feature: Feature, value: Any) -> Any:
    each = tf.TensorSpec(feature.shape, feature.dtype)

    def images() -> Any:
        return tf.map_fn(lambda one: _image(tf, feature, one), value, fn_output_signature=each)

    if None not in feature.shape:
        return images()
    # No images at all have no size that `map_fn` could find out.
    none = tf.zeros((0, *(size or 0 for size in feature.shape)), feature.dtype)
    return tf.ensure_shape(tf.cond(tf.size(value) > 0, images, lambda: none), (None, *each.shape))


def _image(tf: Any, feature: Feature, value: Any) -> Any:
    channels = feature.shape[-1] or 0
    match feature.encoding:
        case "jpeg":
            # The default leaves the transform to the system: pixels could differ between machines.
            image = tf.io.decode_jpeg(value, channels=channels, dct_method="INTEGER_ACCURATE")
        case "png":
            image = tf.io.decode_png(value, channels=channels, dtype=feature.dtype)
        case _:
            image = tf.io.decode_image(value, channels=channels, expand_animations=False)
    return tf.ensure_shape(image, feature.shape)
