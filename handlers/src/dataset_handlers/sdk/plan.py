"""The order of source items, their splits, and their random numbers: all by keyed hash.

Nothing here comes from a process, a clock or the order of a listing, so that shards written
anywhere, in any order, have the same bytes.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator
from itertools import pairwise

import numpy as np

from dataset_handlers.sdk.errors import HandlerError
from dataset_handlers.sdk.source import SourceItem

TRAIN = "train"
VALIDATION = "validation"

_64_BITS = 2**64
_DIGEST_BYTES = 32
_encode = json.JSONEncoder(sort_keys=True, allow_nan=False).encode


class OrderedItems:
    """Source items in an order that looks random, so that any prefix is a fair sample.

    Each is held as its digest and a line of JSON, so that a million take 250 MB or so. Raises
    `HandlerError` if two have the same key, or one holds what JSON can't.
    """

    def __init__(self, items: Iterable[SourceItem], content_key: str) -> None:
        self._lines = [_digest("order", content_key, item.key) + _line(item) for item in items]
        self._lines.sort()
        for one, other in pairwise(self._lines):
            if one.startswith(other[:_DIGEST_BYTES]):
                key = _item(one).key
                raise HandlerError(f"source_items() gave the key {key} twice")

    def __len__(self) -> int:
        return len(self._lines)

    def __iter__(self) -> Iterator[SourceItem]:
        return map(_item, self._lines)

    def lines(self) -> Iterator[bytes]:
        """Yield each item as a JSON object: `files`, `key`, `meta`."""
        return (line[_DIGEST_BYTES:] for line in self._lines)


def _line(item: SourceItem) -> bytes:
    try:
        return _encode({"files": item.files, "key": item.key, "meta": item.meta}).encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise HandlerError(
            f"source_items() gave {item.key} with what JSON can't hold: {error}"
        ) from error


def _item(line: bytes) -> SourceItem:
    return SourceItem(**json.loads(line[_DIGEST_BYTES:]))


def split_of(key: str, seed: int, validation_share: float) -> str:
    """Return the split of an item; it stays there whatever the other options are."""
    position = int.from_bytes(_digest("split", str(seed), key)[:8], "big") / _64_BITS
    return VALIDATION if position < validation_share else TRAIN


def random_numbers(content_key: str, key: str, variation: int) -> np.random.Generator:
    """Return the random numbers of one variation of one item (PCG64)."""
    digest = _digest("random", content_key, key, str(variation))
    return np.random.Generator(np.random.PCG64(int.from_bytes(digest, "big")))


def _digest(*words: str) -> bytes:
    # Neither keys (paths) nor the others hold NUL, so that no two lists of words run together.
    return hashlib.sha256("\0".join(words).encode("utf-8", "surrogateescape")).digest()
