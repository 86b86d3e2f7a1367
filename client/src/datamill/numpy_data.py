"""Records as NumPy arrays, decoded by features.json alone: for trainings without TensorFlow.

They are decoded in threads, since OpenCV lets Python's lock go; the order stays.
"""

from __future__ import annotations

import itertools
import os
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Any

from datamill.early import known_features
from datamill.errors import DatamillError, InvalidOption
from datamill.features import parse_features
from datamill.numpy_decoding import Decoder, Record
from datamill.order import epoch_order, random_seed
from datamill.reading import ReadingOptions
from datamill.split_records import SplitRecords

if TYPE_CHECKING:
    from datamill.dataset import Dataset

Load = Callable[[], Record]

_AHEAD_PER_THREAD = 4


def read(dataset: Dataset, split: str, options: ReadingOptions) -> Iterator[Record]:
    """Yield one dict of arrays per record, or per batch.

    image: uint8 or uint16 `[height, width, channels]`; class label: int64; tensor and scalar: their
    type and shape; box: float32 `[4]`, top, left, bottom, right from 0 to 1; text: bytes. A
    sequence has one dimension more in front. In batches, what may have another size in each record
    is a list of arrays.
    """
    loading = Loading(dataset, split, options)
    seed = random_seed() if options.seed is None else options.seed
    epochs = itertools.count() if options.epochs is None else range(options.epochs)
    loads = itertools.chain.from_iterable(loading.epoch(seed, epoch) for epoch in epochs)
    return (item for item, _ in loading.results(loads))


class Loading:
    """How records are brought into memory and decoded, and where they are kept."""

    def __init__(self, dataset: Dataset, split: str, options: ReadingOptions) -> None:
        if not isinstance(options.cache, bool):
            raise InvalidOption(
                f"cache is {options.cache!r}: NumPy arrays are kept in memory alone (True or False)"
            )
        decoder = Decoder()
        if not options.streaming:
            dataset.wait()
        features = parse_features(known_features(dataset))
        self._decode = decoder.of(features)
        self._differing = frozenset(feature.path for feature in features if feature.differs)
        self._dataset = dataset
        self._split = split
        self._options = options
        self._kept: dict[int, Record] = {}

    def epoch(self, seed: int, epoch: int, begin: int = 0) -> Iterator[Load | None]:
        """Yield what loads each record of an epoch, from one on; None before a wait."""
        records = SplitRecords(self._dataset, self._split)
        order = epoch_order(records, self._options.shuffle_records, seed, epoch, begin)
        for number in order:
            yield None if number is None else partial(self._load, records, number)

    def results(self, loads: Iterator[Load | None]) -> Iterator[tuple[Record, int]]:
        """Yield records, or batches; each with how many records it is."""
        size = self._options.batch_size
        records = _in_threads(loads, self._ahead)
        if size is None:
            for record in records:
                yield (_copied(record) if self._options.cache else record), 1
        else:
            while batch := list(itertools.islice(records, size)):
                yield self._batched(batch), len(batch)

    @property
    def _ahead(self) -> int:
        """How many records are decoded beside the one that is waited for."""
        if self._options.prefetch is None:
            return (os.cpu_count() or 1) * _AHEAD_PER_THREAD
        # The rest of a batch is decoded beside its first record in any case.
        return (self._options.prefetch + 1) * (self._options.batch_size or 1) - 1

    def _batched(self, records: list[Any], path: tuple[str, ...] = ()) -> Any:
        """Return the values of one feature as one array, or as a list; or a dict of features."""
        if isinstance(records[0], dict):
            return {
                name: self._batched([record[name] for record in records], (*path, name))
                for name in records[0]
            }
        if path in self._differing:
            return [_copy(value) for value in records] if self._options.cache else records
        return _stacked(records)

    def _load(self, records: SplitRecords, number: int) -> Record:
        if number in self._kept:
            return self._kept[number]
        record = self._decode(records.payload(number))
        if self._options.cache:
            self._kept[number] = record
        return record


def _in_threads(loads: Iterator[Load | None], ahead: int) -> Iterator[Record]:
    """Load in threads, a few records ahead, in order; none is kept back in a wait."""
    under_way: deque[Future[Record]] = deque()
    pool = ThreadPoolExecutor(os.cpu_count() or 1, thread_name_prefix="decode")
    try:
        for load in loads:
            if load is None:
                while under_way:
                    yield under_way.popleft().result()
                continue
            under_way.append(pool.submit(load))
            if len(under_way) > ahead:
                yield under_way.popleft().result()
        while under_way:
            yield under_way.popleft().result()
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def _copied(record: Record) -> Record:
    """Return a record that may be changed while it is kept."""
    return {
        name: _copied(value) if isinstance(value, dict) else _copy(value)
        for name, value in record.items()
    }


def _copy(value: Any) -> Any:
    return value.copy() if hasattr(value, "copy") else value  # text is bytes, which can't change


def _stacked(batch: list[Any]) -> Any:
    import numpy as np

    try:
        return np.stack(batch)
    except ValueError as error:
        shapes = sorted({np.shape(value) for value in batch})
        raise DatamillError(f"no batch can be made of shapes {shapes[:4]}") from error
