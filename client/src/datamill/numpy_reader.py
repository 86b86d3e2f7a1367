"""A reader that gives NumPy arrays, without TensorFlow."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from datamill.numpy_data import Loading
from datamill.numpy_decoding import Record
from datamill.reader import Reader
from datamill.reading import ReadingOptions

if TYPE_CHECKING:
    from datamill.dataset import Dataset


class NumPyReader(Reader):
    """Gives what `as_numpy` gives: a dict of arrays per record, or per batch."""

    def __init__(self, dataset: Dataset, split: str, options: ReadingOptions) -> None:
        self._loading = Loading(dataset, split, options)
        super().__init__(dataset, split, options)

    def _open(self) -> Iterator[tuple[Record, int]]:
        return self._loading.results(
            self._loading.epoch(self._seed, self._epoch, begin=self._record)
        )
