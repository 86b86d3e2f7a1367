"""The order of source items, their splits, and their random numbers: all by keyed hash.

Nothing here comes from a process, a clock or the order of a listing, so that shards written
anywhere, in any order, have the same bytes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from itertools import pairwise

import numpy as np

from dataset_handlers.sdk.errors import HandlerError
from dataset_handlers.sdk.source import SourceItem

TRAIN = "train"
VALIDATION = "validation"

_64_BITS = 2**64


def in_order(items: Iterable[SourceItem], content_key: str) -> list[SourceItem]:
    """Return the items in an order that looks random, so that any prefix is a fair sample.

    Raises `HandlerError` if two items have the same key.
    """
    ordered = sorted(items, key=lambda item: (_digest("order", content_key, item.key), item.key))
    for one, other in pairwise(ordered):
        if one.key == other.key:
            raise HandlerError(f"source_items() gave the key {one.key} twice")
    return ordered


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
