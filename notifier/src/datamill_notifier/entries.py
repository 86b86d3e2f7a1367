"""Entries inside an archive: stored, so each is a slice of the file."""

from __future__ import annotations

import asyncio
import hashlib
import struct
import zipfile
from dataclasses import dataclass

from datamill_notifier.held_file import HeldFile

_LOCAL_HEADER_BYTES = 30  # APPNOTE.TXT, section 4.3.7; name and extra field follow
_LENGTHS_AT = 26
_MAX_KNOWN = 1024


@dataclass(frozen=True)
class Entry:
    """Where an entry's bytes are, and their SHA-256 in hex."""

    offset: int
    size: int
    sha256: str


class Entries:
    """Finds entries, and remembers where they were; belongs to the event loop."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, str, str], Entry | None] = {}

    async def find(self, archive: str, held: HeldFile, name: str) -> Entry | None:
        """Return where an entry of an open archive is; None where it has none of this name."""
        key = (archive, held.mark, name)
        if key not in self._known:
            if len(self._known) >= _MAX_KNOWN:
                self._known.clear()
            self._known[key] = await asyncio.to_thread(_find, held, name)
        return self._known[key]


def _find(held: HeldFile, name: str) -> Entry | None:
    with zipfile.ZipFile(held.file) as opened:
        try:
            info = opened.getinfo(name)
        except KeyError:
            return None
        content = opened.read(info)
    return Entry(
        _data_offset(held, info.header_offset), len(content), hashlib.sha256(content).hexdigest()
    )


def _data_offset(held: HeldFile, header_offset: int) -> int:
    held.file.seek(header_offset)
    header = held.file.read(_LOCAL_HEADER_BYTES)
    name_bytes, extra_bytes = struct.unpack_from("<HH", header, _LENGTHS_AT)
    return int(header_offset + _LOCAL_HEADER_BYTES + name_bytes + extra_bytes)
