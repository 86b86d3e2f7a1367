"""Whether an archive is the zip that it should be: its entries, where they are, what they say."""

from __future__ import annotations

import zipfile
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO

from datamill.archive import layout
from datamill.archive.manifest import Manifest
from datamill.errors import ArchiveError
from datamill_builder.shard_names import shard_names

_NAME_LENGTH_AT = 26
_LOCAL_HEADER_BYTES = 30


def flaws(path: Path, build: Any, shards: Sequence[Any]) -> list[str]:
    """Return what is wrong, in words; `build` and `shards` are rows of the catalog.

    Of shards only the places are looked at: their bytes have digests of their own. Entries are
    as APPNOTE.TXT, sections 4.3.7 and 4.3.12, has them.
    """
    try:
        with zipfile.ZipFile(path) as opened, path.open("rb") as file:
            return list(_flaws(opened, file, build, shards))
    except (zipfile.BadZipFile, OSError) as error:
        return [f"its table of contents can't be read: {error}"]


def _flaws(
    opened: zipfile.ZipFile, file: BinaryIO, build: Any, shards: Sequence[Any]
) -> Iterator[str]:
    entries = {entry.filename: entry for entry in opened.infolist()}
    names = shard_names(build.dataset_name, shards)
    for name, times in Counter(opened.namelist()).items():
        if times > 1:
            yield f"{name} is there {times} times"
        if not layout.is_entry_name(name) or (layout.is_shard_name(name) and name not in names):
            yield f"{name} does not belong there"
        if entries[name].compress_type != zipfile.ZIP_STORED:
            yield f"{name} is compressed"
    for name in (*layout.REQUIRED_ENTRIES, *names):
        if name not in entries:
            yield f"{name} is missing"
    for name, shard in zip(names, shards, strict=True):
        if name in entries:
            place = (_begin(file, entries[name]), entries[name].file_size)
            if place != (shard.archive_offset, shard.bytes):
                yield f"{name} is not where the catalog says"
    for name in entries:
        if name not in names:
            yield from _unreadable(opened, name)
    if layout.MANIFEST in entries:
        yield from _of_manifest(opened, build, shards)


def _begin(file: BinaryIO, entry: zipfile.ZipInfo) -> int:
    file.seek(entry.header_offset + _NAME_LENGTH_AT)
    lengths = file.read(4)
    name_bytes, extra_bytes = (int.from_bytes(lengths[at : at + 2], "little") for at in (0, 2))
    return entry.header_offset + _LOCAL_HEADER_BYTES + name_bytes + extra_bytes


def _unreadable(opened: zipfile.ZipFile, name: str) -> Iterator[str]:
    try:
        opened.read(name)
    except (zipfile.BadZipFile, OSError, NotImplementedError, RuntimeError) as error:
        yield f"{name} can't be read: {error}"


def _of_manifest(opened: zipfile.ZipFile, build: Any, shards: Sequence[Any]) -> Iterator[str]:
    try:
        manifest = Manifest.decode(opened.read(layout.MANIFEST))
    except zipfile.BadZipFile:
        return  # said already
    except ArchiveError as error:
        yield str(error)
        return
    if manifest.content_key != build.content_key:
        yield f"manifest.json is of {manifest.content_key[:12]}"
    if [shard.sha256 for shard in manifest.shards] != [shard.sha256 for shard in shards]:
        yield "manifest.json and the catalog have other digests of its shards"
