"""A dataset that was asked for, as a training script sees it: where its records are read."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from datamill import tracing
from datamill.environment import settings_in_force
from datamill.obtaining import Obtainable
from datamill.reading import ReadingOptions
from datamill.request import Request

if TYPE_CHECKING:
    import tensorflow as tf

    from datamill.numpy_reader import NumPyReader
    from datamill.tf_reader import TensorFlowReader


class Dataset(Obtainable):
    """A dataset: asked for, perhaps still being built, perhaps on this machine already.

    It may be used by several threads, and in a forked child (which asks again, for itself).
    Options of reading that make no sense raise `InvalidOption`, which is a `ValueError` too.
    """

    def files(self, split: str = "train") -> list[str]:
        """Return the paths of a split's TFRecord files, in order; raises `NotCached`."""
        return [str(self.folder / shard.file) for shard in self.manifest.of_split(split)]

    def expected_records(self, split: str = "train") -> int | None:
        """Return how many records a split has; while it is built, how many by the plan.

        Waits for the plan; fetches the dataset if it is ready. It may be a few less in the end:
        bad source items give none. None for a handler that does not say what a record holds.
        Raises `RequestFailed`; `DatamillError` for a split that does not exist.
        """
        from datamill.early import expected_records

        return expected_records(self, split)

    def label_names(self, feature: str = "label") -> list[str]:
        """Return the names of a label's classes, in the order of their numbers.

        Waits for the dataset as `wait` does, and raises what it raises; `DatamillError` where
        `feature` is no class label, or a sequence of them. Parts of nested names are joined by `/`.
        """
        from datamill import class_counts

        return class_counts.label_names(self, feature)

    def class_counts(self, split: str = "train", feature: str = "label") -> dict[str, int]:
        """Return how many labels of each class a split has, by name, in the order of the classes.

        A sequence of labels counts each of its labels. The first call reads the split's records
        once, without decoding images; the counts are kept beside the archive in the cache. Waits
        and raises as `label_names` does; `RecordError` for a damaged file.
        """
        from datamill import class_counts

        return class_counts.class_counts(self, split, feature)

    def as_dataset(
        self,
        split: str = "train",
        *,
        batch_size: int | None = None,
        shuffle: bool | int = False,
        repeat: bool | int = False,
        prefetch: int | None = None,
        cache: bool | str | os.PathLike[str] = False,
        seed: int | None = None,
        streaming: bool = True,
        use_handler: bool = False,
    ) -> tf.data.Dataset[Any]:
        """Return a `tf.data.Dataset` of decoded, typed features.

        Before `wait` it starts on the first shards while the rest is built, and reads from the
        disk from the second epoch on; the order of records is the same either way.
        `streaming=False` waits for all of it first.

        In this order: `shuffle` (its buffer's size in records; True: 10,000), decoding in parallel,
        `cache`, `repeat` (a number of epochs; True: for ever), `batch_size`, `prefetch` (batches
        made ahead; None: as many as `tf.data` finds useful). `cache` (True: in memory; a path: in
        files of that folder, which are this split's of this dataset alone) keeps decoded records
        from the first epoch on; with it, `shuffle` comes after it, so that each epoch has a new
        order all the same. `seed`: the same orders in every run (with the same global seed of
        TensorFlow, if one is set), a new one in each epoch.

        In batches, features whose size the dataset leaves open (sequences, images where
        `image_size` is null) are `tf.RaggedTensor`s; all others are dense.

        `use_handler`: what the handler's own `tf_records_mapper` makes of the files; its package
        must be installed here. It batches by itself: no `batch_size`, `shuffle`, `cache`.
        """
        from datamill import tf_data

        options = ReadingOptions(batch_size, shuffle, repeat, streaming, prefetch, cache, seed)
        if use_handler:
            return tf_data.by_handler(self, split, options)
        return tf_data.by_features(self, split, options)

    def as_numpy(
        self,
        split: str = "train",
        *,
        batch_size: int | None = None,
        shuffle: bool | int = False,
        repeat: bool | int = False,
        prefetch: int | None = None,
        cache: bool = False,
        seed: int | None = None,
        streaming: bool = True,
    ) -> Iterator[dict[str, Any]]:
        """Return an iterator over dicts of NumPy arrays, for a training without TensorFlow.

        Options, their order and early start are those of `as_dataset`; images are uint8 (or uint16)
        `[height, width, channels]` in the order red, green, blue. `cache=True` keeps decoded
        records in memory; there is no other. `prefetch`: so many batches (records, without
        batches) are decoded ahead, in threads; None: what keeps all processors busy. `seed`: the
        orders are those of `reader`. In batches, features whose size the dataset leaves open
        (sequences, images where `image_size` is null) are lists of arrays, whatever the sizes are;
        all others are one array.
        """
        from datamill import numpy_data

        options = ReadingOptions(batch_size, shuffle, repeat, streaming, prefetch, cache, seed)
        return numpy_data.read(self, split, options)

    def reader(
        self,
        split: str = "train",
        *,
        batch_size: int | None = None,
        shuffle: bool | int = False,
        prefetch: int | None = None,
        cache: bool = False,
        seed: int | None = None,
        streaming: bool = True,
    ) -> NumPyReader:
        """Return a reader of NumPy arrays whose position can be saved and restored.

        Each `for` over it gives what is left of the epoch, in what `as_numpy` gives; a `for` that
        is left by `break` is gone on with by the next. `state_dict()` and `load_state_dict(state)`
        are what PyTorch's StatefulDataLoader has. Order: by `seed` and epoch alone; None takes a
        seed at random, which is part of the state.
        """
        from datamill.numpy_reader import NumPyReader

        options = ReadingOptions(
            batch_size, shuffle, streaming=streaming, prefetch=prefetch, cache=cache, seed=seed
        )
        return NumPyReader(self, split, options)

    def tf_reader(
        self,
        split: str = "train",
        *,
        batch_size: int | None = None,
        shuffle: bool | int = False,
        prefetch: int | None = None,
        seed: int | None = None,
        streaming: bool = True,
    ) -> TensorFlowReader:
        """Return a reader of tensors whose position `tf.train.Checkpoint` saves and restores.

        It is what `reader` is, with records in the same order, decoded by `tf.data` as
        `as_dataset` does. Raises `TensorFlowMissing`.
        """
        from datamill.tf_data import import_tensorflow

        import_tensorflow()
        from datamill.tf_reader import TensorFlowReader

        options = ReadingOptions(
            batch_size, shuffle, streaming=streaming, prefetch=prefetch, seed=seed
        )
        return TensorFlowReader(self, split, options)


def request_dataset(
    dataset_name: str, handler_version: str, dataset_config: dict[str, Any] | None = None
) -> Dataset:
    """Ask for a dataset; return at once, with the request confirmed by the service.

    Raises `InvalidRequest`, `SettingsError`, or `ServiceUnavailable` (unless the dataset is in
    the cache of this machine: then that is what one gets, with a warning).
    """
    request = Request.of(dataset_name, handler_version, dataset_config or {})
    named = {"dataset_id": request.dataset_id, "dataset_name": dataset_name}
    with tracing.span("request_dataset", "client", **named):
        return Dataset(request, settings_in_force())
