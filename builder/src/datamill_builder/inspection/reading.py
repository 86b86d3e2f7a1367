"""Reading an archive to its end, with the digest of all of it and of each of its parts."""

from __future__ import annotations

import errno
import hashlib
import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

log = logging.getLogger(__name__)

_CHUNK_BYTES = 1024 * 1024


@dataclass(frozen=True)
class Part:
    """Bytes of an archive whose digest is known: `begin` ≤ place < `end`."""

    number: int
    begin: int
    end: int
    sha256: str


@dataclass
class Reading:
    """What was found. `sha256`: of all bytes; empty where the disk could not read some.

    `damaged`: the numbers of the parts that are not what they were.
    """

    sha256: str = ""
    bytes: int = 0
    damaged: list[int] = field(default_factory=list)


def read_archive(
    path: Path, parts: Sequence[Part], on_read: Callable[[int], None] = lambda _count: None
) -> Reading:
    """Read a file once; `parts` don't overlap. `on_read` is told how many bytes were read.

    What a disk can't read (EIO) is damaged, and the rest is read all the same. Raises another
    `OSError` as it comes: no descriptor left, no permission, the file is gone.
    """
    found = Reading()
    whole, all_read = hashlib.sha256(), True
    with path.open("rb", buffering=0) as file:
        size = file.seek(0, 2)
        for begin, end, part in _stretches(sorted(parts, key=lambda part: part.begin), size):
            digest = hashlib.sha256()
            try:
                for chunk in _chunks(file, begin, end):
                    whole.update(chunk)
                    if part is not None:
                        digest.update(chunk)
                    found.bytes += len(chunk)
                    on_read(len(chunk))
            except OSError as error:
                if error.errno != errno.EIO:
                    raise
                log.error("%s can't be read at byte %d or after: %s", path.name, begin, error)
                all_read = False
                digest = hashlib.sha256(b"unreadable")
            if part is not None and digest.hexdigest() != part.sha256:
                found.damaged.append(part.number)
    found.sha256 = whole.hexdigest() if all_read else ""
    return found


def _stretches(parts: Sequence[Part], size: int) -> Iterator[tuple[int, int, Part | None]]:
    """Yield (begin, end, part) of all that there is, in order; None is what lies between parts."""
    place = 0
    for part in parts:
        if place < part.begin:
            yield place, min(part.begin, size), None
        yield part.begin, part.end, part
        place = part.end
    if place < size:
        yield place, size, None


def _chunks(file: BinaryIO, begin: int, end: int) -> Iterator[bytes]:
    file.seek(begin)
    while begin < end:
        chunk = file.read(min(_CHUNK_BYTES, end - begin))
        if not chunk:
            return  # it ends early
        begin += len(chunk)
        yield chunk
