"""Archives that attack whoever takes them apart."""

from __future__ import annotations

import io
import struct
import warnings
import zipfile
from collections.abc import Callable
from dataclasses import replace

from tests.support.archives import PackedArchive, example, pack, zipped

SHARD = "toy-train.tfrecord-00000-of-00001"
LABELS = "a.labels.txt"
BOMB_BYTES = 64 * 1024 * 1024


def _good(**how: bytes) -> dict[str, bytes]:
    archive = pack({"train": [[example(number=1, text=b"a")]]}, extra=how)
    with zipfile.ZipFile(io.BytesIO(archive.body)) as opened:
        return {name: opened.read(name) for name in opened.namelist()}


def named(name: str) -> bytes:
    """Return an archive with one entry more."""
    return zipped({**_good(), name: b"escaped"})


def with_nul() -> bytes:
    return named("preview.jpgX").replace(b"preview.jpgX", b"preview.jpg\0")


def with_link() -> bytes:
    buffer = io.BytesIO(zipped(_good()))
    with zipfile.ZipFile(buffer, "a") as archive:
        info = zipfile.ZipInfo("preview.jpg")
        info.external_attr = 0o120777 << 16
        archive.writestr(info, "/etc/passwd")
    return buffer.getvalue()


def with_duplicate() -> bytes:
    buffer = io.BytesIO(zipped(_good()))
    with zipfile.ZipFile(buffer, "a") as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        archive.writestr("manifest.json", b"{}")
    return buffer.getvalue()


def bomb() -> bytes:
    """64 MiB of zeros, about 1028 to 1: deflate can do no more."""
    buffer = io.BytesIO(zipped(_good()))
    with zipfile.ZipFile(buffer, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(LABELS, bytes(BOMB_BYTES))
    return buffer.getvalue()


def bomb_that_says_stored() -> bytes:
    """The same, and its directory says that it is as large as its content, and not compressed."""
    body = bytearray(bomb())
    place = _in_directory(body, LABELS)
    body[place + 10 : place + 12] = struct.pack("<H", zipfile.ZIP_STORED)
    body[place + 20 : place + 28] = struct.pack("<II", BOMB_BYTES, BOMB_BYTES)
    return bytes(body)


def with_lying_size(size: int) -> bytes:
    body = bytearray(zipped(_good()))
    place = _in_directory(body, SHARD)
    body[place + 20 : place + 28] = struct.pack("<II", size, size)
    return bytes(body)


def overlapping() -> bytes:
    """Two entries for the same bytes: how bombs get by without compression."""
    body = bytearray(zipped({**_good(), LABELS: b"x", "b.labels.txt": b"x"}))
    first, second = _in_directory(body, LABELS), _in_directory(body, "b.labels.txt")
    body[second + 42 : second + 46] = body[first + 42 : first + 46]
    return bytes(body)


def with_entries(count: int, said: int | None = None) -> bytes:
    """A directory of so many empty entries; its end record says as many, or says another number."""
    name = b"%06d.labels.txt"
    header = struct.pack("<4s6H3L5H2L", b"PK\1\2", 20, 20, *[0] * 7, 17, *[0] * 6)
    directory = b"".join(header + name % number for number in range(count))
    said = count if said is None else said
    end64 = struct.pack("<4sQ2H2L4Q", b"PK\6\6", 44, 45, 45, 0, 0, said, said, len(directory), 0)
    locator = struct.pack("<4sLQL", b"PK\6\7", 0, len(directory), 1)
    end = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 0xFFFF, 0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF, 0)
    return directory + end64 + locator + end


ATTACKS: dict[str, Callable[[], bytes]] = {
    "parent folder": lambda: named("../../escaped"),
    "absolute path": lambda: named("/tmp/datamill-escaped"),
    "backslashes": lambda: named("..\\..\\escaped"),
    "drive": lambda: named("C:\\escaped"),
    "NUL in a name": with_nul,
    "symbolic link": with_link,
    "the same name twice": with_duplicate,
    "names that differ in case": lambda: named("MANIFEST.JSON"),
    "labels that differ in case": lambda: zipped({**_good(), "A.labels.txt": b"", LABELS: b""}),
    "bomb of 1028 to 1": bomb,
    "bomb that says it is stored": bomb_that_says_stored,
    "size that is too large": lambda: with_lying_size(2**31),
    "size that is too small": lambda: with_lying_size(3),
    "overlapping entries": overlapping,
    "a million entries": lambda: with_entries(1_000_000),
    "a million entries that say one": lambda: with_entries(1_000_000, said=1),
}


def evil(attack: str) -> PackedArchive:
    """Return an archive whose body attacks."""
    return replace(pack(), body=ATTACKS[attack]())


def _in_directory(body: bytearray, name: str) -> int:
    place = body.rfind(name.encode()) - 46
    assert body[place : place + 4] == b"PK\1\2"
    return place
