"""Taking an archive apart without trusting it.

An archive is flat and stored, so nothing in one needs more room than the archive itself, and no
name can lead out of the folder. Whatever is not exactly so is refused.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
import struct
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, BinaryIO

from datamill.archive.layout import MANIFEST, REQUIRED_ENTRIES, is_entry_name, is_shard_name
from datamill.archive.manifest import Manifest, ManifestShard
from datamill.errors import ArchiveError

_CHUNK_BYTES = 1024 * 1024
_ENCRYPTED_FLAG = 0x1
_LOCAL_HEADER_BYTES = 30
_DIRECTORY_HEADER_BYTES = 46
_LOCAL_SIGNATURE = b"PK\x03\x04"
_END = struct.Struct("<4s4H2LH")
_END64 = struct.Struct("<4sQ2H2L4Q")
_LOCATOR64 = struct.Struct("<4sLQL")


@dataclass(frozen=True)
class Limits:
    """What an archive may hold at most."""

    entries: int = 500_000
    metadata_bytes: int = 256 * 1024**2
    """Each entry that is no shard."""
    total_bytes: int = 1 << 46


def unpack(
    archive: Path, folder: Path, limits: Limits | None = None, content_key: str | None = None
) -> Manifest:
    """Unpack an archive into a folder that does not exist yet; return its manifest.

    Every shard is checked against the manifest while it is copied, and the manifest against
    `content_key`, if given. Files are synced. Raises `ArchiveError` for whatever breaks the
    layout; the folder is gone then.
    """
    folder.mkdir()
    try:
        with archive.open("rb") as file:
            return _unpack(file, folder, limits or Limits(), content_key, {})
    except (zipfile.BadZipFile, NotImplementedError, EOFError, struct.error) as error:
        shutil.rmtree(folder, ignore_errors=True)
        raise ArchiveError(f"{archive.name} is no whole zip file: {error}") from error
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


def read_manifest(archive: Path) -> Manifest:
    """Return the manifest of an archive without unpacking it; raise `ArchiveError`."""
    try:
        with zipfile.ZipFile(archive) as opened:
            return _manifest(opened, {info.filename: info for info in opened.infolist()}, Limits())
    except (zipfile.BadZipFile, NotImplementedError, EOFError) as error:
        raise ArchiveError(f"{archive.name} is no whole zip file: {error}") from error


def finish_unpacking(
    file: BinaryIO,
    folder: Path,
    limits: Limits,
    content_key: str | None,
    places: Mapping[str, tuple[int, int]],
) -> Manifest:
    """Unpack an archive into a folder that holds some of its entries already.

    `places`: where in the archive each of those begins, and its bytes. They are not read again:
    that the archive's digest is right says that they are what was packed. Raises `ArchiveError`.
    """
    try:
        return _unpack(file, folder, limits, content_key, places)
    except (zipfile.BadZipFile, NotImplementedError, EOFError, struct.error) as error:
        raise ArchiveError(f"the archive is no whole zip file: {error}") from error


def _unpack(
    file: BinaryIO,
    folder: Path,
    limits: Limits,
    content_key: str | None,
    places: Mapping[str, tuple[int, int]],
) -> Manifest:
    _count_entries(file, limits)
    with zipfile.ZipFile(file) as opened:
        entries = _checked_entries(opened, limits)
        found = _checked_places(opened, file, list(entries.values()))
        if odd := [name for name, place in places.items() if found.get(name) != place]:
            raise ArchiveError(f"{odd[0]} is not where the archive's directory says")
        manifest = _manifest(opened, entries, limits)
        if content_key is not None and manifest.content_key != content_key:
            raise ArchiveError(
                f"the archive holds content {manifest.content_key[:12]}…, not {content_key[:12]}…"
            )
        shards = _announced_shards(manifest, entries)
        for name, info in entries.items():
            if name in places:
                continue
            digest = _copy(opened, info, folder / name)
            if name in shards and digest != shards[name].sha256:
                raise ArchiveError(f"{name}: its SHA-256 is not what manifest.json says")
    sync_path(folder)
    return manifest


def _count_entries(file: BinaryIO, limits: Limits) -> None:
    """Refuse a directory of too many entries before zipfile makes gigabytes of objects of it.

    The numbers in the end record may lie, so that the entries themselves are counted.
    """
    place, directory_bytes = _directory(file)
    file.seek(place - directory_bytes)
    counted = 0
    while directory_bytes > 0:
        header = file.read(_DIRECTORY_HEADER_BYTES)
        if len(header) != _DIRECTORY_HEADER_BYTES:
            raise zipfile.BadZipFile("its directory is cut off")
        rest_bytes = sum(struct.unpack("<3H", header[28:34]))
        file.seek(rest_bytes, os.SEEK_CUR)
        directory_bytes -= len(header) + rest_bytes
        counted += 1
        if counted > limits.entries:
            raise ArchiveError(f"the archive has more than {limits.entries} entries")


def _directory(file: BinaryIO) -> tuple[int, int]:
    """Return where the directory ends, and its bytes (APPNOTE.TXT, 4.3.14 to 4.3.16).

    An archive has no comment, so its end record is its last bytes; a large one has another
    record, whose place a locator tells, in between.
    """
    place = file.seek(0, os.SEEK_END) - _END.size
    if place < 0:
        raise zipfile.BadZipFile("it is too short")
    signature, *_, directory_bytes, _start, comment_bytes = _read_struct(file, place, _END)
    if signature != b"PK\x05\x06" or comment_bytes:
        raise zipfile.BadZipFile("it does not end as an archive does")
    if place >= _LOCATOR64.size + _END64.size:
        locator = _read_struct(file, place - _LOCATOR64.size, _LOCATOR64)
        if locator[0] == b"PK\x06\x07":
            place -= _LOCATOR64.size + _END64.size
            signature, *_, directory_bytes, _start = _read_struct(file, place, _END64)
            if signature != b"PK\x06\x06":
                raise zipfile.BadZipFile("its end record is not where it should be")
    if directory_bytes > place:
        raise zipfile.BadZipFile("its directory is larger than itself")
    return place, directory_bytes


def _read_struct(file: BinaryIO, place: int, kind: struct.Struct) -> tuple[Any, ...]:
    file.seek(place)
    return kind.unpack(file.read(kind.size))


def _checked_entries(opened: zipfile.ZipFile, limits: Limits) -> dict[str, zipfile.ZipInfo]:
    infos = opened.infolist()
    entries: dict[str, zipfile.ZipInfo] = {}
    folded: set[str] = set()
    for info in infos:
        _check_entry(info, limits)
        if info.filename.lower() in folded:
            raise ArchiveError(f"the archive has {info.filename} twice (or differing only in case)")
        folded.add(info.filename.lower())
        entries[info.filename] = info
    if sum(info.file_size for info in infos) > limits.total_bytes:
        raise ArchiveError(f"the archive holds more than {limits.total_bytes} bytes")
    for name in REQUIRED_ENTRIES:
        if name not in entries:
            raise ArchiveError(f"the archive has no {name}")
    return entries


def _check_entry(info: zipfile.ZipInfo, limits: Limits) -> None:
    shown = repr(info.orig_filename)[:120]
    # zipfile cuts a name at a NUL and turns separators round: the name as it was written counts.
    if info.orig_filename != info.filename or not is_entry_name(info.filename):
        raise ArchiveError(f"the archive has an entry that is not of its layout: {shown}")
    mode = info.external_attr >> 16
    if mode and stat.S_IFMT(mode) not in (0, stat.S_IFREG):
        raise ArchiveError(f"{shown} is no plain file")
    if info.flag_bits & _ENCRYPTED_FLAG:
        raise ArchiveError(f"{shown} is encrypted")
    if info.compress_type != zipfile.ZIP_STORED or info.compress_size != info.file_size:
        raise ArchiveError(f"{shown} is compressed; entries are stored")
    if not is_shard_name(info.filename) and info.file_size > limits.metadata_bytes:
        raise ArchiveError(
            f"{shown} has {info.file_size} bytes; allowed are {limits.metadata_bytes}"
        )


def _checked_places(
    opened: zipfile.ZipFile, file: BinaryIO, infos: list[zipfile.ZipInfo]
) -> dict[str, tuple[int, int]]:
    """Return where each entry begins, and its bytes.

    Refuses entries that share bytes, and bytes before the first one.
    """
    places: dict[str, tuple[int, int]] = {}
    free_from = 0
    for info in sorted(infos, key=lambda info: info.header_offset):
        if info.header_offset < free_from or (free_from == 0 and info.header_offset != 0):
            raise ArchiveError(f"{info.filename} overlaps another entry")
        begins = _begin_of_entry(file, info)
        places[info.filename] = (begins, info.compress_size)
        free_from = begins + info.compress_size
    if free_from > opened.start_dir:
        raise ArchiveError("the last entry overlaps the archive's directory")
    return places


def _begin_of_entry(file: BinaryIO, info: zipfile.ZipInfo) -> int:
    file.seek(info.header_offset)
    header = file.read(_LOCAL_HEADER_BYTES)
    if len(header) != _LOCAL_HEADER_BYTES or not header.startswith(_LOCAL_SIGNATURE):
        raise ArchiveError(f"{info.filename} is not where the archive's directory says")
    name_bytes, extra_bytes = struct.unpack("<HH", header[26:30])
    return int(info.header_offset + len(header) + name_bytes + extra_bytes)


def _manifest(
    opened: zipfile.ZipFile, entries: dict[str, zipfile.ZipInfo], limits: Limits
) -> Manifest:
    info = entries.get(MANIFEST)
    if info is None or info.file_size > limits.metadata_bytes:
        raise ArchiveError("the archive has no manifest.json of an allowed size")
    return Manifest.decode(opened.read(info))


def _announced_shards(
    manifest: Manifest, entries: dict[str, zipfile.ZipInfo]
) -> dict[str, ManifestShard]:
    shards = {shard.file: shard for shard in manifest.shards}
    if len(shards) != len(manifest.shards):
        raise ArchiveError("manifest.json names a shard twice")
    if [shard.index for shard in manifest.shards] != list(range(len(shards))):
        raise ArchiveError("manifest.json does not number its shards from 0, in order")
    present = {name for name in entries if is_shard_name(name)}
    if odd := sorted(present.symmetric_difference(shards)):
        raise ArchiveError(f"{odd[0]!r} is in the archive or in manifest.json, but not in both")
    for name, shard in shards.items():
        if entries[name].file_size != shard.bytes:
            raise ArchiveError(f"{name} has not the size that manifest.json says")
    return shards


def _copy(opened: zipfile.ZipFile, info: zipfile.ZipInfo, target: Path) -> str:
    """Copy an entry to a new file; return the SHA-256. zipfile checks its CRC-32 and size."""
    digest = hashlib.sha256()
    with opened.open(info) as source, target.open("xb") as sink:
        for chunk in _chunks(source):
            digest.update(chunk)
            sink.write(chunk)
        if sink.tell() != info.file_size:
            raise ArchiveError(f"{info.filename} ends early")
        sink.flush()
        os.fsync(sink.fileno())
    return digest.hexdigest()


def _chunks(source: IO[bytes]) -> Iterator[bytes]:
    while chunk := source.read(_CHUNK_BYTES):
        yield chunk


def sync_path(path: Path) -> None:
    """Make a file's content, or a folder's entries, survive a power cut."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
