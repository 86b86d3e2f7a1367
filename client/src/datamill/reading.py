"""How the records of a dataset are read, whatever they become."""

from __future__ import annotations

import os
from dataclasses import dataclass
from numbers import Integral
from typing import Any

from datamill.errors import InvalidOption

_SHUFFLE_RECORDS = 10_000
_LARGEST = 2**63 - 1


@dataclass(frozen=True)
class ReadingOptions:
    """How records become a training's input. Raises `InvalidOption` for what makes no sense."""

    batch_size: int | None = None
    """Records per batch; None: no batches."""
    shuffle: bool | int = False
    """The shuffle buffer, in records; True: 10,000."""
    repeat: bool | int = False
    """Epochs; True: for ever."""
    streaming: bool = True
    """Whether to start on the first shards while the rest is built."""
    prefetch: int | None = None
    """Batches (records, without batches) that are made ahead; None: as many as is useful."""
    cache: bool | str | os.PathLike[str] = False
    """Whether decoded records are kept: in memory, or in files of a folder."""
    seed: int | None = None
    """Gives the orders of `shuffle`; None: others in each run."""

    def __post_init__(self) -> None:
        _check("batch_size", self.batch_size, 1, "a number of records", None)
        _check("shuffle", self.shuffle, 1, "a buffer's size in records", True, False)
        _check("repeat", self.repeat, 1, "a number of epochs", True, False)
        _check("prefetch", self.prefetch, 0, "a number of batches", None)
        _check("seed", self.seed, 0, "a number", None)
        if not isinstance(self.streaming, bool):
            raise InvalidOption(f"streaming is {self.streaming!r}: it must be True or False")
        if not isinstance(self.cache, bool | str | os.PathLike) or self.cache == "":
            raise InvalidOption(f"cache is {self.cache!r}: it must be True, False or a folder")

    @property
    def shuffle_records(self) -> int:
        """The shuffle buffer's size in records; 0: none."""
        return _SHUFFLE_RECORDS if self.shuffle is True else int(self.shuffle)

    @property
    def epochs(self) -> int | None:
        """How often the records come; None: for ever."""
        return None if self.repeat is True else max(1, int(self.repeat))


def _check(name: str, value: Any, least: int, what: str, *words: Any) -> None:
    """Raise `InvalidOption` unless a value is one of some words, or a whole number in range."""
    if any(value is word for word in words):
        return
    whole = isinstance(value, Integral) and not isinstance(value, bool)
    if not whole or not least <= value <= _LARGEST:
        allowed = ", ".join([*map(repr, words), f"{what} from {least}"])
        raise InvalidOption(f"{name} is {value!r}: it must be one of {allowed}")
