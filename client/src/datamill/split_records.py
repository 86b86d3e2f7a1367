"""The records of a split by their numbers: 0, 1, 2 … in the order of the archive.

What is not asked for is not read: a file is opened when the first of its records is.
"""

from __future__ import annotations

import threading
from array import array
from bisect import bisect_right
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from datamill.early import SplitShard, shards_and_pauses
from datamill.errors import RecordError
from datamill.records import RecordFile, record_ends

if TYPE_CHECKING:
    from datamill.dataset import Dataset

_OPEN_FILES = 64
"""A shuffle buffer may spread over more files than a process may have open."""


class SplitRecords:
    """A split as it is built. One thread iterates `numbers`, any may ask for payloads."""

    def __init__(self, dataset: Dataset, split: str) -> None:
        self._dataset = dataset
        self._split = split
        self._shards: list[_Shard] = []
        self._starts: list[int] = []
        """The number of the first record of each shard."""
        self._opened = lru_cache(_OPEN_FILES)(RecordFile)

    def numbers(self, begin: int = 0) -> Iterator[int | None]:
        """Yield the numbers of the records from one on, as they are built; None before a wait.

        Raises what `shards_and_pauses` raises.
        """
        end = 0
        for shard in shards_and_pauses(self._dataset, self._split):
            if shard is None:
                yield None
                continue
            start, end = end, end + shard.records
            self._shards.append(_Shard(shard))
            self._starts.append(start)
            yield from range(max(start, begin), end)

    def payload(self, number: int) -> bytes:
        """Return a record that `numbers` has come to, serialised.

        Raises `RecordError` if its file is damaged, `DownloadError` if it can't be fetched.
        """
        place = bisect_right(self._starts, number) - 1
        shard = self._shards[place]
        begin, end = shard.bounds(number - self._starts[place])
        return self._opened(shard.path).payload(begin, end)


class _Shard:
    """A shard, whose file is fetched, and looked through for where its records end, once."""

    def __init__(self, shard: SplitShard) -> None:
        self._shard = shard
        self._guard = threading.Lock()
        self._ends: array[int] | None = None
        self.path = Path()

    def bounds(self, number: int) -> tuple[int, int]:
        """Return between which bytes of the file a record lies."""
        with self._guard:
            if self._ends is None:
                self.path = Path(self._shard.path())
                self._ends = self._found_ends()
        return self._ends[number - 1] if number else 0, self._ends[number]

    def _found_ends(self) -> array[int]:
        ends = record_ends(self.path)
        if len(ends) != self._shard.records:
            raise RecordError(
                f"{self.path.name} has {len(ends)} records; its manifest says {self._shard.records}"
            )
        return ends
