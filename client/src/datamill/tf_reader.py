"""A reader that gives tensors, and is saved by `tf.train.Checkpoint`. It imports TensorFlow."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import tensorflow as tf

from datamill.early import known_features
from datamill.features import parse_features
from datamill.order import epoch_order
from datamill.position import ReaderState
from datamill.reader import Reader
from datamill.reading import ReadingOptions
from datamill.split_records import SplitRecords
from datamill.tf_data import batched, decoded, prefetched

if TYPE_CHECKING:
    from datamill.dataset import Dataset

_PIECE_RECORDS = 32
"""So many serialised records go to `tf.data` at once: each call of Python costs it time."""


class TensorFlowReader(Reader, tf.train.experimental.PythonState):  # type: ignore[misc]
    """Gives what `as_dataset` gives: a dict of tensors per record, or per batch.

    `tf.train.Checkpoint(model=model, data=reader)` saves its position, and restores it; `restore`
    raises `OtherDataset` for a checkpoint of another dataset, split or order.
    """

    def __init__(self, dataset: Dataset, split: str, options: ReadingOptions) -> None:
        if not options.streaming:
            dataset.wait()
        features = parse_features(known_features(dataset))
        super().__init__(dataset, split, options)
        pieces = tf.data.Dataset.from_generator(
            self._pieces, output_signature=tf.TensorSpec((None,), tf.string)
        )
        records = decoded(tf, pieces.flat_map(tf.data.Dataset.from_tensor_slices), features)
        self._data = prefetched(tf, batched(tf, records, options), options)
        self._error: Exception | None = None

    def serialize(self) -> str:
        """Return the state as JSON, for a checkpoint."""
        return json.dumps(self.state_dict())

    def deserialize(self, state: bytes | str) -> None:
        """Go on where a checkpoint was; raises what `load_state_dict` raises."""
        self._load(ReaderState.parse(state))

    def _open(self) -> Iterator[tuple[Any, int]]:
        self._error = None
        iterator = iter(self._data)
        while True:
            try:
                item = next(iterator)
            except StopIteration:
                return
            except tf.errors.OpError as error:
                if self._error is None:
                    raise
                raise self._error from error
            yield item, self._records_of(item)

    def _records_of(self, item: Any) -> int:
        if self._options.batch_size is None:
            return 1
        return int(tf.nest.flatten(item)[0].shape[0])

    def _pieces(self) -> Iterator[list[bytes]]:
        """Yield serialised records from the position on; nothing at all while the build is waited
        for, so that whoever iterates can give up. TensorFlow's threads run this.
        """
        try:
            yield from self._read_pieces()
        except Exception as error:
            self._error = error  # TensorFlow passes on its text alone
            raise

    def _read_pieces(self) -> Iterator[list[bytes]]:
        records = SplitRecords(self.dataset, self.split)
        order = epoch_order(
            records, self._options.shuffle_records, self._seed, self._epoch, self._record
        )
        piece: list[bytes] = []
        for number in order:
            if number is not None:
                piece.append(records.payload(number))
            if number is None or len(piece) == _PIECE_RECORDS:
                yield piece
                piece = []
        yield piece
