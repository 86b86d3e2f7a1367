"""An archive that is taken apart while it comes: each entry goes into its own file at once.

Nothing of it is trusted yet. Entries get files only where their headers are as plain as those of an
archive should be; all other bytes, the directory at the end among them, are kept in one more file.
Once all has come and its digest is right, `finish` checks what `unpack` checks, but for the digests
of entries, which that of the whole vouches for. So a download needs the room of one archive, and
the disk writes it once.

The folder itself says how far it has come: read anew, its files are the archive from its beginning.
"""

from __future__ import annotations

import bisect
import io
import os
import shutil
import struct
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from datamill.archive.layout import is_entry_name
from datamill.archive.manifest import Manifest
from datamill.archive.unpack import Limits, finish_unpacking, sync_path
from datamill.part import BUFFER_BYTES, Part, write_all
from datamill.reserving import reserve

REST = "archive.rest"
"""The file with the bytes that are no entry's; no entry can have this name."""

_HEADER = struct.Struct("<4s5H3L2H")
_SIGNATURE = b"PK\x03\x04"
_UTF8_FLAG = 0x800
_LARGE = 0xFFFFFFFF
_LARGE_FIELD = struct.Struct("<2H2Q")
_RESERVED_BYTES = 1024 * 1024
"""For smaller files it is not worth the call."""
_MOST_ENTRIES = Limits.entries


@dataclass(frozen=True)
class _Piece:
    """Bytes of the archive, and where they lie: an entry's file, or a place in the rest."""

    start: int
    size: int
    file: str
    offset: int = 0


@dataclass
class _Layout:
    """Tells, byte by byte as they come, into which file each belongs."""

    total: int
    entries: dict[str, _Piece] = field(default_factory=dict)
    position: int = 0
    """How many bytes have been placed."""
    left: int = 0
    """How many bytes of the current entry are to come."""
    header: bytearray | None = field(default_factory=bytearray)
    """The current entry's header, as far as it is here; None once there are no more entries."""

    def missing(self) -> int:
        """Return how many bytes the header needs, at least, before it says something."""
        assert self.header is not None
        if len(self.header) < _HEADER.size:
            return _HEADER.size - len(self.header)
        name_bytes, extra_bytes = _HEADER.unpack_from(self.header)[-2:]
        return int(_HEADER.size + name_bytes + extra_bytes - len(self.header))

    def take_header(self, chunk: memoryview) -> str | None:
        """Take bytes of a header; return the name of the entry that begins behind them."""
        assert self.header is not None
        self.header += chunk
        self.position += len(chunk)
        if not self.header.startswith(_SIGNATURE[: len(self.header)]):
            self.header = None
            return None
        if self.missing():
            return None
        found = self._entry()
        self.header = None
        if found is None:
            return None
        self.entries[found.file] = found
        self.header, self.left = bytearray(), found.size
        return found.file

    def _entry(self) -> _Piece | None:
        """Return what a whole header says, if it is that of a plain entry."""
        assert self.header is not None
        _, _, flags, method, _, _, _, packed, size, name_bytes, _ = _HEADER.unpack_from(self.header)
        raw = bytes(self.header[_HEADER.size :])
        name, extra = raw[:name_bytes].decode("utf-8", "replace"), raw[name_bytes:]
        if packed == size == _LARGE and len(extra) >= _LARGE_FIELD.size:
            kind, _, size, packed = _LARGE_FIELD.unpack_from(extra)
            packed = packed if kind == 1 else -1
        plain = method == 0 and not flags & ~_UTF8_FLAG and packed == size
        fits = size <= self.total - self.position and len(self.entries) < _MOST_ENTRIES
        if not plain or not fits or name in self.entries or not is_entry_name(name):
            return None
        return _Piece(self.position, size, name)


class ArchivePart(Part):
    """A folder that an archive is received into."""

    def __init__(self, folder: Path, total: int) -> None:
        super().__init__(total)
        self._folder = folder
        if folder.is_file():
            folder.unlink()  # how a download was kept before there were folders
        folder.mkdir(exist_ok=True)
        self._rest = os.open(folder / REST, os.O_RDWR | os.O_CREAT, 0o666)
        self._entry = -1
        self._layout = _Layout(total)
        self._syncing = ThreadPoolExecutor(1, thread_name_prefix="sync")
        self._synced: list[Future[None]] = []

    def _append(self, chunk: memoryview) -> None:
        done = 0
        while done < len(chunk):
            done += self._place(chunk[done:])

    def _place(self, view: memoryview) -> int:
        """Write what comes next, up to where something else begins; return how much that is."""
        layout = self._layout
        if layout.left:
            piece = view[: layout.left]
            write_all(self._entry, piece)
            layout.position += len(piece)
            layout.left -= len(piece)
            if not layout.left:
                self._end_entry()
            return len(piece)
        if layout.header is None:
            write_all(self._rest, view)
            layout.position += len(view)
            return len(view)
        piece = view[: layout.missing()]
        write_all(self._rest, piece)
        if name := layout.take_header(piece):
            flags = os.O_RDWR | os.O_CREAT | os.O_TRUNC
            self._entry = os.open(self._folder / name, flags, 0o666)
            if layout.left >= _RESERVED_BYTES:
                reserve(self._entry, layout.left)
            if not layout.left:
                self._end_entry()
        return len(piece)

    def _end_entry(self) -> None:
        os.close(self._entry)
        self._entry = -1
        path = self._folder / next(reversed(self._layout.entries))
        self._synced.append(self._syncing.submit(sync_path, path))

    def _kept(self) -> Iterator[bytes]:
        """Yield the archive from its beginning, as far as its files go."""
        kept = os.lseek(self._rest, 0, os.SEEK_END)
        os.lseek(self._rest, 0, os.SEEK_SET)
        layout = self._layout
        while layout.header is not None and (piece := os.read(self._rest, layout.missing())):
            yield piece
            with memoryview(piece) as view:
                name = layout.take_header(view)
            if name is None:
                continue
            yield from self._kept_entry(name)
            if layout.left:
                break
        else:
            while chunk := os.read(self._rest, BUFFER_BYTES):
                layout.position += len(chunk)
                yield chunk
        end = os.lseek(self._rest, 0, os.SEEK_CUR)
        if end < kept:
            os.ftruncate(self._rest, end)
        for path in self._folder.iterdir():
            if path.name != REST and path.name not in layout.entries:
                path.unlink()

    def _kept_entry(self, name: str) -> Iterator[bytes]:
        layout = self._layout
        self._entry = os.open(self._folder / name, os.O_RDWR | os.O_CREAT, 0o666)
        while layout.left and (chunk := os.read(self._entry, min(layout.left, BUFFER_BYTES))):
            layout.position += len(chunk)
            layout.left -= len(chunk)
            yield chunk
        if not layout.left:
            os.ftruncate(self._entry, layout.entries[name].size)
            self._end_entry()

    def _clear(self) -> None:
        self._wait_for_syncs()
        if self._entry >= 0:
            os.close(self._entry)
            self._entry = -1
        for path in self._folder.iterdir():
            if path.name != REST:
                path.unlink()
        os.lseek(self._rest, 0, os.SEEK_SET)
        os.ftruncate(self._rest, 0)
        self._layout = _Layout(self.total)

    def sync(self) -> None:
        """Make the entries survive a power cut; what is not theirs goes away anyway."""
        self._wait_for_syncs()

    def _wait_for_syncs(self) -> None:
        synced, self._synced = self._synced, []
        for each in synced:
            each.result()

    def discard(self) -> None:
        """Remove the folder."""
        shutil.rmtree(self._folder, ignore_errors=True)

    def _close(self) -> None:
        self._syncing.shutdown()
        os.close(self._rest)
        if self._entry >= 0:
            os.close(self._entry)

    def finish(self, content_key: str | None = None) -> Manifest:
        """Check that this is an archive, of which the folder holds all entries, and no more.

        For when all has come and its digest is right. Raises `ArchiveError`.
        """
        pieces = _pieces(self._layout)
        with io.BufferedReader(_Joined(self._folder, pieces)) as file:
            places = {
                name: (entry.start, entry.size) for name, entry in self._layout.entries.items()
            }
            manifest = finish_unpacking(file, self._folder, Limits(), content_key, places)
        (self._folder / REST).unlink()
        sync_path(self._folder)
        return manifest


def _pieces(layout: _Layout) -> list[_Piece]:
    """Return all pieces of an archive, in order."""
    pieces: list[_Piece] = []
    position = offset = 0
    for entry in layout.entries.values():
        between = entry.start - position
        pieces += [_Piece(position, between, REST, offset), entry]
        position, offset = entry.start + entry.size, offset + between
    return [*pieces, _Piece(position, layout.position - position, REST, offset)]


class _Joined(io.RawIOBase):
    """An archive, read from its pieces."""

    def __init__(self, folder: Path, pieces: list[_Piece]) -> None:
        self._folder = folder
        self._pieces = [piece for piece in pieces if piece.size]
        self._starts = [piece.start for piece in self._pieces]
        self._end = self._pieces[-1].start + self._pieces[-1].size if self._pieces else 0
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._end}[whence]
        if base + offset < 0:
            raise OSError("a place before the beginning")
        self._position = base + offset
        return self._position

    def readinto(self, buffer: Any) -> int:
        if self._position >= self._end:
            return 0
        piece = self._pieces[bisect.bisect_right(self._starts, self._position) - 1]
        inside = self._position - piece.start
        with (self._folder / piece.file).open("rb", buffering=0) as file:
            file.seek(piece.offset + inside)
            count = file.readinto(memoryview(buffer)[: piece.size - inside])
        if not count:
            raise EOFError(f"{piece.file} is shorter than it was")
        self._position += count
        return count
