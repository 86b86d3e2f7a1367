"""Where `tf.data` keeps decoded records: files that belong to one split of one content.

`tf.data` takes whatever lies at the path it is given, of whatever dataset; and refuses for good
what a process left that was killed while it wrote. Here each split of each content has a folder,
locked by the process that may write, which first removes what is not whole.
"""

from __future__ import annotations

import fcntl
import os
import shutil
from pathlib import Path

from datamill.errors import DatamillError, InvalidOption

_LOCK = "lock"
_RECORDS = "records"
_WHOLE = f"{_RECORDS}.index"
"""What `tf.data` writes last: tensorflow/core/kernels/data/cache_dataset_ops.cc."""

_held: dict[Path, int] = {}
"""The descriptors of the locks that this process holds, by folder, until it ends."""


def cache_prefix(folder: str | os.PathLike[str], content: str, split: str) -> str:
    """Return the path to give to `tf.data.Dataset.cache`.

    Raises `InvalidOption` if the folder can't be used, `DatamillError` while another process fills
    it.
    """
    try:
        place = Path(folder).resolve() / content / split
        place.mkdir(parents=True, exist_ok=True)
        if place not in _held and _lock(place) and not (place / _WHOLE).exists():
            _clear(place)
    except OSError as error:
        raise InvalidOption(f"cache is {os.fspath(folder)!r}: {error}") from error
    if place not in _held and not (place / _WHOLE).exists():
        raise DatamillError(
            f"another process fills the cache in {place}: wait until its first epoch is over, "
            "or give this one another folder"
        )
    return str(place / _RECORDS)


def _lock(place: Path) -> bool:
    """Be the one who may write there, until this process ends; False if another one is."""
    descriptor = os.open(place / _LOCK, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return False
    _held[place] = descriptor
    return True


def _clear(place: Path) -> None:
    for left in place.iterdir():
        if left.is_dir():
            shutil.rmtree(left)
        elif left.name != _LOCK:
            left.unlink()
