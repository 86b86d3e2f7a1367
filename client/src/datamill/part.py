"""A file as far as it has come, and its digest so far.

The digest is taken by a thread of its own: hashing lets Python's lock go, so that it costs no time
beside receiving and writing.
"""

from __future__ import annotations

import errno
import hashlib
import os
import queue
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

from datamill.errors import DownloadError

_DISK_FULL = (errno.ENOSPC, errno.EDQUOT)
BUFFER_BYTES = 512 * 1024
_BUFFERS = 8
"""So much may have come and been written, and not been hashed."""


class Part(ABC):
    """What a download writes to; use it in a `with`. Subclasses say where the bytes go."""

    def __init__(self, total: int) -> None:
        self.total = total
        self.size = 0
        self._digest = _Digest()

    @property
    def complete(self) -> bool:
        """Whether nothing is missing."""
        return self.size >= self.total

    @property
    def sha256(self) -> str:
        """The digest of what has come, in hex."""
        return self._digest.hexdigest()

    def fill(self, read: Callable[[memoryview], int], most_bytes: int) -> int:
        """Add what `read` puts into the buffer that it is given; return how much that is.

        Raises `DownloadError` where it can't be kept.
        """
        buffer = self._digest.free_buffer()
        count = 0
        try:
            count = read(memoryview(buffer)[:most_bytes])
        finally:
            if not count:
                self._digest.give_back(buffer)
        if count:
            self._write(memoryview(buffer)[:count], buffer)
        return count

    def write(self, body: bytes | bytearray) -> None:
        """Add what came next, which nobody changes any more. Raises `DownloadError`."""
        with memoryview(body) as view:
            for begin in range(0, len(view), BUFFER_BYTES):
                self._write(view[begin : begin + BUFFER_BYTES], None)

    def _write(self, chunk: memoryview, buffer: bytearray | None) -> None:
        self._digest.update(chunk, buffer)
        try:
            self._append(chunk)
        except OSError as error:
            raise unwritable(error) from error
        self.size += len(chunk)

    def restart(self) -> None:
        """Throw away what has come."""
        if self.size:
            self._clear()
        self._digest.restart()
        self.size = 0

    def __enter__(self) -> Self:
        self._digest.start()
        try:
            for chunk in self._kept():
                self._digest.update(memoryview(chunk))
                self.size += len(chunk)
            if self.size > self.total:
                self.restart()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._close()
        self._digest.stop()

    @abstractmethod
    def discard(self) -> None:
        """Remove what has come, for good."""

    @abstractmethod
    def sync(self) -> None:
        """Make the content survive a power cut."""

    @abstractmethod
    def _kept(self) -> Iterator[bytes]:
        """Yield what an earlier download left, to go on behind it."""

    @abstractmethod
    def _append(self, chunk: memoryview) -> None:
        """Write what comes next."""

    @abstractmethod
    def _clear(self) -> None:
        """Forget what is here, to begin anew."""

    @abstractmethod
    def _close(self) -> None:
        """Let go of what is open."""


class FilePart(Part):
    """A file that holds what has come."""

    def __init__(self, path: Path, total: int) -> None:
        super().__init__(total)
        self._path = path
        self._file = path.open("r+b" if path.exists() else "x+b", buffering=0)

    def sync(self) -> None:
        """Make the content survive a power cut."""
        os.fsync(self._file.fileno())

    def discard(self) -> None:
        """Remove the file."""
        self._path.unlink()

    def _kept(self) -> Iterator[bytes]:
        while chunk := self._file.read(BUFFER_BYTES):
            yield chunk

    def _append(self, chunk: memoryview) -> None:
        write_all(self._file.fileno(), chunk)

    def _clear(self) -> None:
        self._file.seek(0)
        self._file.truncate()

    def _close(self) -> None:
        self._file.close()


def unwritable(error: OSError) -> DownloadError:
    """Return what to raise where the system does not take what was downloaded."""
    if error.errno in _DISK_FULL:
        return DownloadError(f"no space is left for the download: {error}")
    return DownloadError(f"the download can't be written: {error}")


def write_all(descriptor: int, chunk: memoryview) -> None:
    """Write all of it, however often the system takes a part only."""
    done = 0
    while done < len(chunk):
        done += os.write(descriptor, chunk[done:])


class _Digest(threading.Thread):
    """A SHA-256 that is taken by this thread."""

    def __init__(self) -> None:
        super().__init__(name="digest", daemon=True)
        self._hash = hashlib.sha256()
        self._inbox: queue.Queue[tuple[memoryview, bytearray | None] | None] = queue.Queue(_BUFFERS)
        self._free: queue.LifoQueue[bytearray] = queue.LifoQueue()
        self._made = 0

    def free_buffer(self) -> bytearray:
        """Return a buffer whose content is hashed."""
        if self._free.empty() and self._made < _BUFFERS:
            self._made += 1
            return bytearray(BUFFER_BYTES)
        return self._free.get()

    def give_back(self, buffer: bytearray) -> None:
        """Have a buffer used again."""
        self._free.put(buffer)

    def update(self, chunk: memoryview, buffer: bytearray | None = None) -> None:
        """Take this next; then the buffer that it lies in is free."""
        self._inbox.put((chunk, buffer))

    def hexdigest(self) -> str:
        """Return the digest of all that was given, when it is taken."""
        self._inbox.join()
        return self._hash.hexdigest()

    def restart(self) -> None:
        """Begin anew."""
        self._inbox.join()
        self._hash = hashlib.sha256()

    def run(self) -> None:
        """Take the digest until stopped."""
        while (item := self._inbox.get()) is not None:
            chunk, buffer = item
            self._hash.update(chunk)
            if buffer is not None:
                self._free.put(buffer)
            self._inbox.task_done()

    def stop(self) -> None:
        """End the thread."""
        self._inbox.put(None)
        self.join()
