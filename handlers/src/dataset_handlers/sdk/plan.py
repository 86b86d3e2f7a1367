"""The order of source items, their splits, and their random numbers: all by keyed hash.

Nothing here comes from a process, a clock or the order of a listing, so that shards written
anywhere, in any order, have the same bytes.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator
from json.encoder import encode_basestring_ascii as _quoted
from typing import Any

import numpy as np

from dataset_handlers.sdk.errors import HandlerError
from dataset_handlers.sdk.source import SourceItem

TRAIN = "train"
VALIDATION = "validation"

_64_BITS = 2**64
_DIGEST_BYTES = 32
_AT_ONCE = 4096
_encode = json.JSONEncoder(sort_keys=True, allow_nan=False).encode


class OrderedItems:
    """Source items in an order that looks random, so that any prefix is a fair sample.

    Each is held as its digest and a line of JSON, so that a million take 200 MB or so. Raises
    `HandlerError` if two have the same key, or one holds what JSON can't.
    """

    def __init__(
        self,
        items: Iterable[SourceItem],
        content_key: str,
        split_of_item: Callable[[SourceItem], str] | None = None,
    ) -> None:
        """`split_of_item`: None where all items are in `TRAIN`."""
        digest = _Digests("order", content_key).digest
        digests, lines, splits = bytearray(), list[bytes](), list[str]()
        for item in items:
            digests += digest(item.key)
            lines.append(_open_line(item))
            if split_of_item:
                splits.append(split_of_item(item))
        self._lines, self._splits, self._order = lines, splits, sorted_places(digests)
        for place in _repeated(digests, self._order):
            raise HandlerError(f"source_items() gave the key {self._item(place).key} twice")

    def __len__(self) -> int:
        return len(self._lines)

    def __iter__(self) -> Iterator[SourceItem]:
        return (self._item(place) for places in self._batches(None) for place in places)

    def open_lines(self, max_items: int | None) -> Iterator[tuple[str, list[bytes]]]:
        """Yield the first items in batches, a split at a time, in the order that each split has.

        An item is a JSON object of `files`, `key`, `meta` that is still open: whoever adds to it
        also ends it.
        """
        lines, splits = self._lines, self._splits
        for places in self._batches(max_items):
            if not splits:
                yield TRAIN, [lines[place] for place in places]
                continue
            by_split: dict[str, list[bytes]] = {}
            for place in places:
                by_split.setdefault(splits[place], []).append(lines[place])
            yield from by_split.items()

    def _batches(self, max_items: int | None) -> Iterator[list[int]]:
        order = self._order[:max_items]
        return (order[at : at + _AT_ONCE].tolist() for at in range(0, len(order), _AT_ONCE))

    def _item(self, place: int) -> SourceItem:
        return SourceItem(**json.loads(self._lines[place] + b"}"))


def sorted_places(digests: bytearray) -> np.ndarray[Any, Any]:
    """Return which digest comes first, second and so on: sorted as bytes are."""
    words = np.frombuffer(digests, ">u8").reshape(-1, _DIGEST_BYTES // 8)
    first = words[:, 0].astype(np.uint64)
    order = np.argsort(first)
    if not (np.diff(first[order]) == 0).any():
        return order
    return np.lexsort([words[:, column].astype(np.uint64) for column in (3, 2, 1, 0)])


def _repeated(digests: bytearray, order: np.ndarray[Any, Any]) -> Iterator[int]:
    """Yield which digest another one is equal to."""
    words = np.frombuffer(digests, np.uint64).reshape(-1, _DIGEST_BYTES // 8)
    first = words[:, 0]
    # All 32 bytes only of those few whose first 8 are the same.
    for place in np.flatnonzero(first[order[1:]] == first[order[:-1]]).tolist():
        one, other = order[place : place + 2].tolist()
        if (words[one] == words[other]).all():
            yield one


def _open_line(item: SourceItem) -> bytes:
    try:
        files, meta = _object(item.files), _object(item.meta)
    except (TypeError, ValueError, RecursionError) as error:
        raise HandlerError(
            f"source_items() gave {item.key} with what JSON can't hold: {error}"
        ) from error
    return f'{{"files": {files}, "key": {_quoted(item.key)}, "meta": {meta}'.encode()


def _object(fields: object) -> str:
    """Return what `_encode` does; most objects are a text or two, which go without an encoder."""
    if type(fields) is not dict:
        return _encode(fields)
    told = []
    for name in sorted(fields) if len(fields) > 1 else fields:
        value = fields[name]
        if type(name) is not str or type(value) is not str:
            return _encode(fields)
        told.append(f"{_quoted(name)}: {_quoted(value)}")
    return f"{{{', '.join(told)}}}"


def split_of(key: str, seed: int, validation_share: float) -> str:
    """Return the split of an item; it stays there whatever the other options are."""
    return split_by_key(seed, validation_share)(key)


def split_by_key(seed: int, validation_share: float) -> Callable[[str], str]:
    """Return `split_of` for many keys."""
    if not validation_share:
        return lambda _: TRAIN
    digest = _Digests("split", str(seed)).digest

    def split(key: str) -> str:
        position = int.from_bytes(digest(key)[:8], "big") / _64_BITS
        return VALIDATION if position < validation_share else TRAIN

    return split


def random_numbers(content_key: str, key: str, variation: int) -> np.random.Generator:
    """Return the random numbers of one variation of one item (PCG64)."""
    digest = _Digests("random", content_key, key).digest(str(variation))
    return np.random.Generator(np.random.PCG64(int.from_bytes(digest, "big")))


class _Digests:
    """SHA-256 of words that all begin with the same, which are digested only once.

    Neither keys (paths) nor the others hold NUL, so that no two lists of words run together.
    """

    def __init__(self, *words: str) -> None:
        self._begun = hashlib.sha256(b"".join(_bytes(word) + b"\0" for word in words))

    def digest(self, word: str) -> bytes:
        digest = self._begun.copy()
        digest.update(_bytes(word))
        return digest.digest()


def _bytes(word: str) -> bytes:
    try:
        return word.encode()
    except UnicodeEncodeError:
        return word.encode("utf-8", "surrogateescape")
