"""Writing one shard."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from dataset_handlers.sdk.errors import BadItemError
from dataset_handlers.sdk.features import Feature
from dataset_handlers.sdk.options import BaseOptions
from dataset_handlers.sdk.plan import random_numbers
from dataset_handlers.sdk.records import Record, each_record, serialise
from dataset_handlers.sdk.source import SourceItem
from dataset_handlers.sdk.tfrecord import TFRecordWriter

Progress = Callable[[int], None]


class RecordMaker(Protocol):
    """What a shard needs of a handler."""

    options: BaseOptions

    def features_for(self, items: Sequence[Mapping[str, Any]]) -> dict[str, Feature]:
        """Return what a record of these items holds."""

    def records(
        self, item: SourceItem, variation: int, rng: np.random.Generator
    ) -> Record | Iterable[Record]:
        """Return one variation of one item."""


def write_shard(
    maker: RecordMaker,
    items: Sequence[Mapping[str, Any]],
    path: str | os.PathLike[str],
    content_key: str,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Write the records of `items` to `path`; see `dataset_handlers.sdk` for what it returns.

    An item is written whole or not at all. Holds one item in memory at a time.
    """
    features = maker.features_for(items)
    skipped: list[dict[str, str]] = []
    with TFRecordWriter(path) as writer:
        for planned in items:
            item = SourceItem(planned["key"], planned["files"], planned["meta"])
            before = writer.mark()
            try:
                for record in _records_of(item, maker, content_key):
                    writer.write(*serialise(record, features))
                    if progress:
                        progress(writer.records)
                    del record  # before the next is made: it may be four times its picture
            except BadItemError as error:
                if maker.options.on_bad_item == "fail":
                    raise BadItemError(f"{item.key}: {_one_line(error)}") from error
                writer.back_to(before)
                skipped.append({"key": item.key, "reason": _one_line(error)})
    return {
        "records": writer.records,
        "bytes": writer.size_bytes,
        "skipped": skipped,
    }


def _records_of(item: SourceItem, maker: RecordMaker, content_key: str) -> Iterator[Record]:
    item.check()
    for variation in range(maker.options.variations_per_sample):
        rng = random_numbers(content_key, item.key, variation)
        yield from each_record(maker.records(item, variation, rng))


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())
